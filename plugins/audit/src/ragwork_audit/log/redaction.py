"""What a record may hold: identifiers, counts and names, bounded; never a secret, a document's or a message's text.

Secrets are found by the exact name of the key they stand under, and by form or value wherever they stand.
``content_type`` and ``total_tokens`` are neither.
"""

import math
import unicodedata
from collections.abc import Mapping
from typing import Final

from ragwork_hooks.redaction import REDACTED, Redactor, names_a_secret

MAX_TEXT: Final = 1024
#: Longest metadata of a record, as JSON in bytes.
MAX_METADATA: Final = 16_384
_MAX_DEPTH: Final = 6
_MAX_ITEMS: Final = 100
_MAX_KEY: Final = 128

#: Names under which a number is a count and not a secret.
_COUNTS: Final = frozenset({"tokens", "texts", "contents"})


def clean_text(text: str, redactor: Redactor, limit: int = MAX_TEXT) -> str:
    """``text`` without secrets, control characters and what reorders or hides text, ``limit`` characters at most."""
    bounded = text[: 4 * limit]
    if not bounded.isascii() or not bounded.isprintable():
        bounded = "".join(c for c in bounded if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    bounded = redactor.text(bounded)
    return bounded if len(bounded) <= limit else bounded[: limit - 1] + "…"


def clean(value: object, redactor: Redactor, key: str = "", depth: int = 0) -> object:
    """``value`` as bounded JSON data without secrets; ``key`` is the name it stands under."""
    if value is None or isinstance(value, bool):
        return value
    if names_a_secret(key) and not (key.lower() in _COUNTS and isinstance(value, int | float)):
        return REDACTED
    if isinstance(value, int):
        return value if abs(value) < 2**53 else f"{value:x} (hex)"[:MAX_TEXT]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return clean_text(value, redactor)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    return _container(value, redactor, depth)


def _container(value: object, redactor: Redactor, depth: int) -> object:
    if depth < _MAX_DEPTH and isinstance(value, Mapping):
        items = list(value.items())
        kept = {
            clean_text(str(k), redactor, _MAX_KEY): clean(v, redactor, str(k), depth + 1)
            for k, v in items[:_MAX_ITEMS]
        }
        return kept | ({"…": len(items) - _MAX_ITEMS} if len(items) > _MAX_ITEMS else {})
    if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        listed = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
        kept_items = [clean(item, redactor, "", depth + 1) for item in listed[:_MAX_ITEMS]]
        return kept_items + ([f"… {len(listed) - _MAX_ITEMS} more"] if len(listed) > _MAX_ITEMS else [])
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return f"[nested too deep, {len(value)} items]"
    return clean_text(str(value), redactor)
