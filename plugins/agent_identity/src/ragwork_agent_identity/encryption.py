"""Secrets at rest: AES-256-GCM, bound to where they are kept."""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE: Final = 12


class SecretBox:
    """Seals and opens under one 32-byte key. ``place`` names the row: moved elsewhere, nothing opens."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, *place: str) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, plain, _bound(place))

    def open(self, sealed: bytes, *place: str) -> bytes:
        """Raises ``RuntimeError`` for what was sealed under another key, for another place, or was altered."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound(place))
        except InvalidTag:
            raise RuntimeError(
                "a sealed value does not open: AGENT_KEY_ENCRYPTION_KEY is not the one it was sealed with"
            ) from None


def _bound(place: tuple[str, ...]) -> bytes:
    return "\x00".join(place).encode()
