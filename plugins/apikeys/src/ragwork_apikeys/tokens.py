"""The token of an API key: ``nrgk_<id>_<secret>``.

``id`` is 16 and ``secret`` 49 letters and digits: 43 random ones (256 bits) and a checksum of 6 over
all before it. The checksum is no protection; it lets a scanner recognise a leaked key, and lets us
refuse a mistyped or made-up one without asking the database.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from typing import Final

PREFIX: Final = "nrgk_"
ID_LENGTH: Final = 16
#: How much of a token may be shown after its creation.
SHOWN_LENGTH: Final = 12
_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_LENGTH: Final = 43
_CHECKSUM_LENGTH: Final = 6
_LENGTH: Final = len(PREFIX) + ID_LENGTH + 1 + _RANDOM_LENGTH + _CHECKSUM_LENGTH
_ID: Final = re.compile(rf"[0-9A-Za-z]{{{ID_LENGTH}}}")
_FORM: Final = re.compile(
    rf"{PREFIX}({_ID.pattern})_[0-9A-Za-z]{{{_RANDOM_LENGTH + _CHECKSUM_LENGTH}}}", re.ASCII
)


def new_id() -> str:
    """A random id."""
    return _random(ID_LENGTH)


def mint() -> tuple[str, str]:
    """A new key's id and token."""
    key_id = new_id()
    body = f"{PREFIX}{key_id}_{_random(_RANDOM_LENGTH)}"
    return key_id, body + _checksum(body)


def key_id_of(token: str) -> str | None:
    """The id in ``token``; ``None`` unless length, form and checksum are right."""
    if len(token) != _LENGTH:
        return None
    match = _FORM.fullmatch(token)
    if match is None or _checksum(token[:-_CHECKSUM_LENGTH]) != token[-_CHECKSUM_LENGTH:]:
        return None
    return match[1]


def is_key_id(text: str) -> bool:
    """Whether ``text`` has the form of a key's id."""
    return _ID.fullmatch(text) is not None


def digest(pepper: bytes, token: str) -> bytes:
    """What is kept of a token: HMAC-SHA256 under the deployment's pepper, 32 bytes."""
    return hmac.digest(pepper, token.encode(), hashlib.sha256)


def shown_prefix(key_id: str) -> str:
    """The first 12 characters of the key's token."""
    return (PREFIX + key_id)[:SHOWN_LENGTH]


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    value, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        value, digit = divmod(value, len(_ALPHABET))
        digits += _ALPHABET[digit]
    return digits
