"""Proof of possession (RFC 9449) at the token endpoint, with a nonce of ours in every proof."""

from typing import Final
from urllib.parse import urlsplit

from ragwork_hooks.auth import Headers
from ragwork_hooks.errors import Problem
from ragwork_hooks.services import Services

from ragwork_agent_identity.oauth.client_authentication import NAMELESS
from ragwork_agent_identity.tokens import token_signing
from ragwork_agent_identity.tokens.opaque_tokens import Mint
from ragwork_agent_identity.tokens.token_signing import Unverified

ALGORITHMS: Final = token_signing.CLIENT_ALGORITHMS
_NONCE_S: Final = 300
_AGE_S: Final = 300
_SKEW_S: Final = 30
_PORTS: Final = {"http": 80, "https": 443}


class Proofs:
    """Checks proofs. What was proven once can't be proven with the same proof again; in doubt, no."""

    def __init__(self, services: Services, mint: Mint) -> None:
        self._clock = services.clock
        self._state = services.state
        self._mint = mint

    def nonce(self) -> str:
        return self._mint.nonce(self._clock.now().timestamp())

    async def thumbprint(self, headers: Headers, url: str | None) -> str | None:
        """The thumbprint of the key that a POST to ``url`` proves to hold; ``None`` without a proof. Without a
        ``url`` none can be checked.

        Raises ``Problem`` 400 INVALID_DPOP_PROOF, or USE_DPOP_NONCE with a nonce to use.
        """
        proofs = headers.getall("DPoP", [])
        if not proofs:
            return None
        if len(proofs) > 1:
            raise _invalid("there is more than one DPoP header")
        if url is None:
            raise _invalid(NAMELESS)
        try:
            return await self._checked(proofs[0], url)
        except Unverified as error:
            raise _invalid(str(error)) from error

    async def _checked(self, proof: str, url: str) -> str:
        header = token_signing.header_of(proof)
        jwk = header.get("jwk")
        if not isinstance(jwk, dict):
            raise Unverified("it carries no public key")
        key = token_signing.client_key(jwk)
        claims = token_signing.verified(proof, key, "dpop+jwt")
        now = self._clock.now().timestamp()
        if claims.get("htm") != "POST" or not _same(token_signing.text(claims, "htu"), url):
            raise Unverified("it was made for another request")
        if not -_AGE_S <= token_signing.number(claims, "iat") - now <= _SKEW_S:
            raise Unverified("it is not of now")
        self._check_nonce(claims.get("nonce"), now)
        jkt, jti = key.thumbprint(), token_signing.text(claims, "jti")
        seen = f"agents.dpop/{jkt}/{token_signing.thumbprint_sha256(jti)}"
        if not await self._state.put_once("agents", seen, b"1", _AGE_S + 2 * _SKEW_S):
            raise Unverified("it was used before")
        return jkt

    def _check_nonce(self, nonce: object, now: float) -> None:
        age = self._mint.nonce_age(nonce, now) if isinstance(nonce, str) else None
        if age is None or age > _NONCE_S:
            raise Problem(
                "USE_DPOP_NONCE",
                "the proof needs the nonce of the DPoP-Nonce header",
                status=400,
                headers={"DPoP-Nonce": self.nonce()},
            )


def _same(one: str, other: str) -> bool:
    """Whether two URLs are the same without query and fragment (RFC 9449 §4.3)."""
    try:
        return _normal(one) == _normal(other)
    except ValueError:
        return False


def _normal(url: str) -> tuple[str, str | None, int | None, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme), parts.path or "/"


def _invalid(message: str) -> Problem:
    return Problem("INVALID_DPOP_PROOF", f"the DPoP proof is refused: {message}", status=400)
