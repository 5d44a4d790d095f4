"""What must never reach a log: credentials, and addresses and texts of people.

By exact key, so that ``content_type`` and ``total_tokens`` survive; by form and value, so that a credential
inside an exception's text or a harmless-looking field does not.
"""

import re
from collections.abc import Mapping
from typing import Final

from ragwork_hooks.redaction import REDACTED, Redactor, names_a_secret

#: Longest text that is looked at and kept, in characters.
MAX_TEXT: Final = 16_384
_MAX_DEPTH: Final = 6
_MAX_ITEMS: Final = 100
_EMAIL: Final = re.compile(r"[\w.%+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")


def redact_text(text: str, redactor: Redactor) -> str:
    """``text`` without credentials and e-mail addresses, cut at ``MAX_TEXT`` characters."""
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT] + "… [cut]"
    text = redactor.text(text)
    return _EMAIL.sub("[EMAIL]", text) if "@" in text else text


def redact(value: object, redactor: Redactor, key: str = "", depth: int = 0) -> object:
    """``value`` as plain JSON data without secrets; ``key`` is the name it stands under.

    Numbers, booleans and ``None`` stay under any key: a count of tokens is no token.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if names_a_secret(key) or key.lower() in ("email", "emails"):
        return REDACTED
    if isinstance(value, str):
        return redact_text(value, redactor)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if depth < _MAX_DEPTH and isinstance(value, Mapping):
        items = list(value.items())[:_MAX_ITEMS]
        return {
            redact_text(str(name), redactor): redact(item, redactor, str(name), depth + 1)
            for name, item in items
        }
    if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [redact(item, redactor, "", depth + 1) for item in list(value)[:_MAX_ITEMS]]
    return redact_text(str(value), redactor)
