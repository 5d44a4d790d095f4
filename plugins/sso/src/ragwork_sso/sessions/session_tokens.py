"""The token of a session, and one-time texts."""

import base64
import hashlib
import secrets
from typing import Final

from ragwork_toolkit.bearer_tokens.format import TokenFormat

SESSION: Final = TokenFormat("nrgss_")
FORMAT: Final = SESSION.declared("session")


def secret() -> str:
    """A secret of 256 random bits that may stand in a URL or a cookie."""
    return secrets.token_urlsafe(32)


def fingerprint(text: str) -> str:
    """SHA-256 as base64url without padding: the ``S256`` of PKCE, and how one-time values are filed."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
