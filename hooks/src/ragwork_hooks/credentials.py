"""The platform's bearer tokens: ``<prefix><id>_<secret>``, told apart by prefix, kept as keyed hashes only.

``id`` is 16 and ``secret`` 49 letters and digits: 43 random ones (256 bits) and a checksum of 6 over all
before it. The checksum is no protection; it lets a scanner recognise a leaked token, and a mistyped or
made-up one is refused without asking the database.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from typing import Final

import attrs

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_LENGTH: Final = 16
_RANDOM_LENGTH: Final = 43
_CHECKSUM_LENGTH: Final = 6
_SHOWN_LENGTH: Final = 12
_ID: Final = re.compile(rf"[0-9A-Za-z]{{{_ID_LENGTH}}}", re.ASCII)


@attrs.frozen(kw_only=True)
class CredentialFormat:
    """How credentials of one kind look, as the plugin that mints them declares it in its contribution.

    All begin with ``prefix``, which tells the kind and may be shown; ``rest`` is a pattern of what follows, which is
    kept out of logs and records. A bearer token that begins with ``prefix`` is shown to that plugin's authenticators
    alone.
    """

    name: str
    prefix: str
    rest: str = r"[\w-]+"


class TokenFormat:
    """Tokens that begin with ``prefix`` (``nrgk_`` …)."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.length = len(prefix) + _ID_LENGTH + 1 + _RANDOM_LENGTH + _CHECKSUM_LENGTH
        secret = rf"[0-9A-Za-z]{{{_RANDOM_LENGTH + _CHECKSUM_LENGTH}}}"
        self._form = re.compile(rf"{re.escape(prefix)}({_ID.pattern})_{secret}", re.ASCII)

    def declared(self, name: str) -> CredentialFormat:
        """The same as a declaration; ``name`` is what people call such a token."""
        return CredentialFormat(name=name, prefix=self.prefix)

    def mint(self) -> tuple[str, str]:
        """A new token's id and text. The text is for its owner's eyes, once."""
        token_id = new_id()
        body = f"{self.prefix}{token_id}_{_random(_RANDOM_LENGTH)}"
        return token_id, body + _checksum(body)

    def id_of(self, token: str) -> str | None:
        """The id in ``token``; ``None`` unless length, form and checksum are right."""
        if len(token) != self.length:
            return None
        match = self._form.fullmatch(token)
        if match is None or _checksum(token[:-_CHECKSUM_LENGTH]) != token[-_CHECKSUM_LENGTH:]:
            return None
        return match[1]

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
    """What is kept of a token: HMAC-SHA256 under the deployment's pepper, 32 bytes."""
    return hmac.digest(pepper, token.encode(), hashlib.sha256)


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    value, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        value, digit = divmod(value, len(_ALPHABET))
        digits += _ALPHABET[digit]
    return digits
