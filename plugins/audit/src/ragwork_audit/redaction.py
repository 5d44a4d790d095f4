"""What a record may hold: identifiers, counts and names, bounded; never a secret, a document's or a message's text.

Secrets are found by the exact name of the key they stand under, and by the shape of the value wherever it
stands. ``content_type`` and ``total_tokens`` are neither.
"""

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Final

REDACTED: Final = "[REDACTED]"
MAX_TEXT: Final = 1024
#: Longest metadata of a record, as JSON in bytes.
MAX_METADATA: Final = 16_384
_MAX_DEPTH: Final = 6
_MAX_ITEMS: Final = 100
_MAX_KEY: Final = 128

_SECRET_WORDS: Final = (
    "accesskey", "accesstoken", "apikey", "auth", "authheader", "authorization", "bearer", "clientsecret", "content",
    "cookie", "credential", "idtoken", "passphrase", "passwd", "password", "pepper", "privatekey",
    "proxyauthorization", "refreshtoken", "secret", "secretaccesskey", "secretkey", "sessiontoken", "setcookie",
    "signingkey", "signingsecret", "text", "token", "webhooksecret", "xapikey",
)  # fmt: skip
_SECRET_KEYS: Final = frozenset(word + plural for word in _SECRET_WORDS for plural in ("", "s"))
#: Names under which a number is a count and not a secret.
_COUNTS: Final = frozenset({"tokens", "texts", "contents"})

_SHAPES: Final = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*KEY-----|\Z)", re.S), REDACTED),
    (re.compile(r"(://)[^/\s@]{1,512}@"), rf"\1{REDACTED}@"),
    (re.compile(r"\b((?:bearer|basic)\s+)[\w.~+/=-]{4,}", re.I), rf"\1{REDACTED}"),
    (re.compile(r"nrg(?:k|ss|scim)_[\w-]+", re.A), REDACTED),
    (
        re.compile(
            r"\b(?:(?:sk|pk|rk)[-_][\w-]{16,}|whsec_[\w-]{8,}|gh[pousr]_\w{20,}|xox[a-z]-[\w-]{10,}|AIza[\w-]{30,})",
            re.A,
        ),
        REDACTED,
    ),
    (re.compile(r"\bA[KS]IA[0-9A-Z]{16}\b"), REDACTED),
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)*", re.A), REDACTED),
    (
        re.compile(
            r"\b((?:api[-_]?key|access[-_]?token|auth(?:orization)?|client[-_]?secret|passphrase|passwd|password"
            r"|private[-_]?key|refresh[-_]?token|secret|token)[\"']?\s*[:=]\s*[\"']?)(?!\[REDACTED)[^\s\"'&,;}\])]+",
            re.I,
        ),
        rf"\1{REDACTED}",
    ),
)  # fmt: skip
# One quick look that most texts pass; only what has a trigger is searched shape by shape.
_TRIGGER: Final = re.compile(
    r"-----|://|bearer|basic|nrg|[spr]k[-_]|whsec|gh[pousr]_|xox|aiza|a[ks]ia|eyj|key|token|auth|pass|secret",
    re.I,
)


def clean_text(text: str, limit: int = MAX_TEXT) -> str:
    """``text`` without secrets, control characters and what reorders or hides text, ``limit`` characters at most."""
    bounded = text[: 4 * limit]
    if not bounded.isascii() or not bounded.isprintable():
        bounded = "".join(c for c in bounded if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    if _TRIGGER.search(bounded):
        for shape, replacement in _SHAPES:
            bounded = shape.sub(replacement, bounded)
    return bounded if len(bounded) <= limit else bounded[: limit - 1] + "…"


def clean(value: object, key: str = "", depth: int = 0) -> object:
    """``value`` as bounded JSON data without secrets; ``key`` is the name it stands under."""
    name = key.lower().replace("-", "").replace("_", "").replace(" ", "")
    if value is None or isinstance(value, bool):
        return value
    if name in _SECRET_KEYS and not (name in _COUNTS and isinstance(value, int | float)):
        return REDACTED
    if isinstance(value, int):
        return value if abs(value) < 2**53 else f"{value:x} (hex)"[:MAX_TEXT]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    return _container(value, depth)


def _container(value: object, depth: int) -> object:
    if depth < _MAX_DEPTH and isinstance(value, Mapping):
        items = list(value.items())
        kept = {clean_text(str(k), _MAX_KEY): clean(v, str(k), depth + 1) for k, v in items[:_MAX_ITEMS]}
        return kept | ({"…": len(items) - _MAX_ITEMS} if len(items) > _MAX_ITEMS else {})
    if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        listed = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
        kept_items = [clean(item, "", depth + 1) for item in listed[:_MAX_ITEMS]]
        return kept_items + ([f"… {len(listed) - _MAX_ITEMS} more"] if len(listed) > _MAX_ITEMS else [])
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return f"[nested too deep, {len(value)} items]"
    return clean_text(str(value))
