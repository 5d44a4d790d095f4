"""Google's credentials on the wire: service accounts, the tokens they sign, and the exchange for access tokens."""

import base64
import binascii
import functools
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

#: What assertions are made for, wherever they are sent.
_AUDIENCE: Final = "https://oauth2.googleapis.com/token"
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_MAX_LIFETIME_S: Final = 3600
_SKEW_S: Final = 60


class GoogleTokens:
    """The accounts that exist, and who a bearer token stands for."""

    def __init__(self) -> None:
        self._accounts: set[str] = set()
        self._issued: dict[str, str] = {}
        self.exchanges = 0

    def account(self, name: str, token_uri: str) -> dict[str, str]:
        """The key file of the service account ``name``, which exists from now on."""
        email = _email(name)
        self._accounts.add(email)
        return {
            "type": "service_account",
            "project_id": "test",
            "private_key_id": "1",
            "private_key": _private_pem(),
            "client_email": email,
            "client_id": "1",
            "token_uri": token_uri,
        }

    def revoke(self, name: str) -> None:
        """From now on there is no account ``name``, and its tokens don't count."""
        email = _email(name)
        self._accounts.discard(email)
        self._issued = {token: owner for token, owner in self._issued.items() if owner != email}

    def exchange(self, form: Mapping[str, Any]) -> str | None:
        """An access token for a signed assertion, ``None`` for a bad one."""
        claims = _verified(str(form.get("assertion")))
        if form.get("grant_type") != _GRANT or claims.get("aud") != _AUDIENCE or not self._known(claims):
            return None
        self.exchanges += 1
        token = f"ya29.{secrets.token_urlsafe(16)}"
        self._issued[token] = str(claims["iss"])
        return token

    def bearer(self, token: str, audience: str) -> str | None:
        """The account's e-mail behind an access token, or behind a token that the account signed itself
        for ``audience`` or for a scope.
        """
        if token in self._issued:
            return self._issued[token]
        claims = _verified(token)
        meant = claims.get("aud") == audience or "cloud-platform" in str(claims.get("scope"))
        return str(claims["iss"]) if meant and self._known(claims) else None

    def _known(self, claims: Mapping[str, Any]) -> bool:
        now = time.time()
        issued, expires = float(claims.get("iat", 0)), float(claims.get("exp", 0))
        timely = issued - _SKEW_S < now < expires and expires - issued <= _MAX_LIFETIME_S
        return claims.get("iss") in self._accounts and timely


def _email(name: str) -> str:
    return f"{name}@test.iam.gserviceaccount.com"


@functools.cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _private_pem() -> str:
    pem = _key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem.decode()


def _verified(token: str) -> Mapping[str, Any]:
    """The claims of a JWT with a good RS256 signature, else none."""
    try:
        head, body, signature = token.split(".")
        if json.loads(_decoded(head)).get("alg") != "RS256":
            return {}
        _key().public_key().verify(
            _decoded(signature), f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256()
        )
        claims: Mapping[str, Any] = json.loads(_decoded(body))
    except (ValueError, binascii.Error, InvalidSignature):
        return {}
    return claims


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
