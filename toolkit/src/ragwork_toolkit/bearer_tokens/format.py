"""The form of bearer tokens: ``<prefix><id>_<secret><checksum>``, told apart by prefix, kept as keyed hashes only.

``id`` is 16 and ``secret`` 43 letters and digits (256 bits); the checksum is over all before it. It is no
protection: it lets a scanner recognise a leaked token, and a mistyped or made-up one is refused without asking
the database.

Users: apikeys, scim, sso, agents.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from collections.abc import Callable
from typing import Final

import attrs
from ragwork_hooks.credentials import CredentialFormat

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_LENGTH: Final = 16
_RANDOM_LENGTH: Final = 43
_SHOWN_LENGTH: Final = 12
_ID: Final = re.compile(rf"[0-9A-Za-z]{{{_ID_LENGTH}}}", re.ASCII)


@attrs.frozen
class Checksum:
    """``length`` letters and digits that ``of`` gives for the text before them."""

    length: int
    of: Callable[[str], str]


def crc32_base62(body: str) -> str:
    """CRC-32 in six letters and digits, least significant first."""
    return _digits(zlib.crc32(body.encode()), 6)


BASE62: Final = Checksum(6, crc32_base62)


class TokenFormat:
    """Tokens that begin with ``prefix`` (``nrgk_`` …)."""

    def __init__(self, prefix: str, checksum: Checksum = BASE62) -> None:
        self.prefix = prefix
        self._checksum = checksum
        tail = _RANDOM_LENGTH + checksum.length
        self.length = len(prefix) + _ID_LENGTH + 1 + tail
        self._form = re.compile(rf"{re.escape(prefix)}({_ID.pattern})_[0-9A-Za-z]{{{tail}}}", re.ASCII)

    def declared(self, name: str) -> CredentialFormat:
        """The same as a declaration; ``name`` is what people call such a token."""
        return CredentialFormat(name=name, prefix=self.prefix, well_formed=self.fits)

    def mint(self) -> tuple[str, str]:
        """A new token's id and text. The text is for its owner's eyes, once."""
        token_id = new_id()
        body = f"{self.prefix}{token_id}_{_random(_RANDOM_LENGTH)}"
        return token_id, body + self._checksum.of(body)

    def id_of(self, token: str) -> str | None:
        """The id in ``token``; ``None`` unless length, form and checksum are right."""
        if len(token) != self.length:
            return None
        match, cut = self._form.fullmatch(token), -self._checksum.length
        return match[1] if match and self._checksum.of(token[:cut]) == token[cut:] else None

    def fits(self, token: str) -> bool:
        """Whether ``token`` has such an id."""
        return self.id_of(token) is not None

    def shown(self, token_id: str) -> str:
        """The first 12 characters of the token: as much as may be shown after its creation."""
        return (self.prefix + token_id)[:_SHOWN_LENGTH]


def new_id() -> str:
    """A random id of 16 letters and digits, as tokens carry it."""
    return _random(_ID_LENGTH)


def is_id(text: str) -> bool:
    """Whether ``text`` has the form of a token's id."""
    return _ID.fullmatch(text) is not None


def digest(pepper: bytes, token: str) -> bytes:
    """What is kept of a token: HMAC-SHA256 under the deployment's pepper, 32 bytes. Takes any text."""
    return hmac.digest(pepper, token.encode("utf-8", "surrogatepass"), hashlib.sha256)


def _random(length: int) -> str:
    return _digits(secrets.randbelow(len(_ALPHABET) ** length), length)


def _digits(value: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        value, digit = divmod(value, len(_ALPHABET))
        digits += _ALPHABET[digit]
    return digits
