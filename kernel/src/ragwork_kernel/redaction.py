"""What must never reach a log: secrets and addresses of people, found by exact key and by shape of value.

By exact key, so that ``content_type`` and ``total_tokens`` survive; by shape, so that a secret inside
an exception's text or a harmless-looking field does not.
"""

import re
from collections.abc import Mapping
from typing import Final

REDACTED: Final = "[REDACTED]"
#: Longest text that is looked at and kept, in characters.
MAX_TEXT: Final = 16_384
_MAX_DEPTH: Final = 6
_MAX_ITEMS: Final = 100

_SECRET_WORDS: Final = (
    "access_token", "api_key", "apikey", "auth", "authorization", "bearer", "client_secret", "cookie",
    "credential", "id_token", "passphrase", "passwd", "password", "pepper", "private_key",
    "proxy_authorization", "refresh_token", "secret", "set_cookie", "signing_key", "token", "x_api_key",
)  # fmt: skip
_SECRET_KEYS: Final = frozenset(
    {word.replace("_", "") + s for word in (*_SECRET_WORDS, "content", "email", "text") for s in ("", "s")}
)
_ASSIGNED: Final = "|".join(word.replace("_", "[-_]?") for word in _SECRET_WORDS if word != "auth")

# In this order: what swallows most comes first, so that no half of a secret is left over.
_SHAPES: Final = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*KEY-----|\Z)", re.S), REDACTED),
    (re.compile(r"(://)[^/\s@]{1,512}@"), rf"\1{REDACTED}@"),
    (re.compile(r"\b(authorization\b\\?[\"']?\s*[:=]\s*\\?[\"']?)[^\"'\r\n,}]+", re.I), rf"\1{REDACTED}"),
    (re.compile(r"\b(bearer\s+)[\w.~+/=-]{4,}", re.I), rf"\1{REDACTED}"),
    (re.compile(r"nrg(?:k|ss|scim)_[\w-]+", re.A), REDACTED),
    (re.compile(r"\b(?:(?:sk|pk|rk)[-_][\w-]{16,}|gh[pousr]_\w{20,}|xox[a-z]-[\w-]{10,})", re.A), REDACTED),
    (re.compile(r"\bA[KS]IA[0-9A-Z]{16}\b"), REDACTED),
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?", re.A), REDACTED),
    (
        re.compile(
            rf"\b((?:{_ASSIGNED})\\?[\"']?\s*[:=]\s*b?\\?[\"']?)(?!\[REDACTED)[^\s\"'&,;}})\]]+", re.I
        ),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"[\w.%+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"), "[EMAIL]"),
)  # fmt: skip
# One quick look that most texts pass; only what has a trigger is searched shape by shape.
_TRIGGER: Final = re.compile(
    rf"@|-----BEGIN|bearer|nrg|[spr]k[-_]|a[ks]ia|gh[pousr]_|xox|eyj|{_ASSIGNED}", re.I
)


def redact_text(text: str) -> str:
    """``text`` without secrets and e-mail addresses, cut at ``MAX_TEXT`` characters."""
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT] + "… [cut]"
    if _TRIGGER.search(text) is None:
        return text
    for shape, replacement in _SHAPES:
        text = shape.sub(replacement, text)
    return text


def redact(value: object, key: str = "", depth: int = 0) -> object:
    """``value`` as plain JSON data without secrets; ``key`` is the name it stands under.

    Numbers, booleans and ``None`` stay under any key: a count of tokens is no token.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if key.lower().replace("-", "").replace("_", "") in _SECRET_KEYS:
        return REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if depth < _MAX_DEPTH and isinstance(value, Mapping):
        items = list(value.items())[:_MAX_ITEMS]
        return {redact_text(str(name)): redact(item, str(name), depth + 1) for name, item in items}
    if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [redact(item, "", depth + 1) for item in list(value)[:_MAX_ITEMS]]
    return redact_text(str(value))
