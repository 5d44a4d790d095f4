"""Verification of ID tokens: OpenID Connect Core §3.1.3.7, every step, nothing optional.

The algorithm must be one that the provider is pinned to, the key one of its JWKS that fits it. Only
then are the claims read.
"""

import base64
import hashlib
import hmac
import math
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import attrs

from ragwork_sso.problems import bad_token
from ragwork_sso.providers import jwks as jwks
from ragwork_sso.providers.cached_documents import Fetched
from ragwork_sso.providers.provider_store import IdentityProvider

if TYPE_CHECKING:
    from joserfc.jws import JWSRegistry

_LONGEST_TOKEN: Final = 65_536
_LONGEST_HEADER: Final = 8_192
_LONGEST_SUBJECT: Final = 255
_TYPES: Final = (None, "JWT", "jwt", "application/jwt")


@attrs.frozen(kw_only=True)
class VerifiedIdentity:
    """Whom the provider vouches for. ``claims`` are all of the token's, for the role mapping.

    ``email`` and ``name`` are for display: they identify nobody.
    """

    issuer: str
    subject: str
    email: str | None
    name: str | None
    claims: Mapping[str, object]


@attrs.frozen(kw_only=True)
class Expected:
    """What the token must agree with. ``access_token`` came with it; ``now`` is this server's time."""

    nonce: str
    access_token: str | None
    now: datetime
    skew_s: float


class IdTokenVerifier:
    """Believes tokens of pinned providers only."""

    def __init__(self, documents: Fetched[Any]) -> None:
        """``documents`` gives the parsed keys of a JWKS URL."""
        self._documents = documents

    async def verify(self, token: str, provider: IdentityProvider, expected: Expected) -> VerifiedIdentity:
        """The token's identity. ``Problem`` 401 with the first reason not to believe it.

        Raises ``ProviderError`` when the provider's keys are not to be had.
        """
        header = _header(token)
        algorithm = header.get("alg")
        if algorithm not in provider.algorithms or algorithm not in jwks.ALGORITHMS:
            raise bad_token("it is not signed with an algorithm of this provider")
        if header.get("typ") not in _TYPES:
            raise bad_token("it is no ID token")
        key = await self._key(provider.jwks_url, header.get("kid"), str(algorithm))
        claims = _signed_claims(token, key, str(algorithm))
        _check_parties(claims, provider)
        _check_times(claims, expected)
        _check_bindings(claims, expected, str(algorithm))
        return VerifiedIdentity(
            issuer=provider.issuer,
            subject=_subject(claims),
            email=_text(claims.get("email"), 320),
            name=_text(claims.get("name"), 256),
            claims=claims,
        )

    async def _key(self, url: str, kid: object, algorithm: str) -> jwks.VerificationKey:
        if kid is not None and not isinstance(kid, str):
            raise bad_token("its key id is no text")
        known = await self._documents.get(url)
        key = jwks.choose(known, kid, algorithm)
        if key is None:
            key = jwks.choose(await self._documents.newer(url, known), kid, algorithm)
        if key is None:
            raise bad_token("none of the provider's keys is the one that it names")
        return key


def _header(token: str) -> Mapping[str, object]:
    from joserfc.errors import JoseError
    from joserfc.jws import extract_compact

    if len(token) > _LONGEST_TOKEN or not token.isascii():
        raise bad_token("it is too long or no token at all")
    try:
        return extract_compact(token.encode(), registry=_registry(jwks.ALGORITHMS)).headers()
    except (JoseError, ValueError, TypeError, AttributeError) as error:
        raise bad_token("it is no signed token") from error


def _signed_claims(token: str, key: jwks.VerificationKey, algorithm: str) -> dict[str, object]:
    from joserfc import jwt
    from joserfc.errors import JoseError

    try:
        claims = jwt.decode(token, key.key, [algorithm], _registry((algorithm,))).claims
    except (JoseError, ValueError, TypeError) as error:
        raise bad_token("its signature does not hold") from error
    return dict(claims)


def _registry(algorithms: tuple[str, ...]) -> "JWSRegistry":
    from joserfc.errors import UnsupportedAlgorithmError
    from joserfc.jwa import JWSAlgModel
    from joserfc.jws import JWSRegistry

    class Pinned(JWSRegistry):
        """These algorithms and no others; which are advisable was decided by who wrote the list."""

        max_header_length = _LONGEST_HEADER

        def get_alg(self, name: str) -> JWSAlgModel:
            if name not in algorithms:
                raise UnsupportedAlgorithmError(f"{name!r} is not pinned")
            return self.algorithms[name]

    # Unknown header parameters are ignored, as RFC 7515 §4 asks; ``crit`` is still checked.
    return Pinned(algorithms=list(algorithms), strict_check_header=False)


def _check_parties(claims: Mapping[str, object], provider: IdentityProvider) -> None:
    if claims.get("iss") != provider.issuer:
        raise bad_token("it is of another issuer")
    audience = claims.get("aud")
    listed = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(each, str) for each in listed) or provider.client_id not in listed:
        raise bad_token("it is not meant for this client")
    if len(listed) > 1 and "azp" not in claims:
        raise bad_token("it is meant for several and does not say for whom it was made")
    if "azp" in claims and claims["azp"] != provider.client_id:
        raise bad_token("it was made for another client")


def _check_times(claims: Mapping[str, object], expected: Expected) -> None:
    now = expected.now.timestamp()
    expires, issued = _number(claims, "exp"), _number(claims, "iat")
    if now >= expires + expected.skew_s:
        raise bad_token("it has expired")
    if issued > now + expected.skew_s:
        raise bad_token("it was issued in the future")
    if "nbf" in claims and _number(claims, "nbf") > now + expected.skew_s:
        raise bad_token("it is not valid yet")


def _check_bindings(claims: Mapping[str, object], expected: Expected, algorithm: str) -> None:
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.nonce.encode()):
        raise bad_token("it belongs to another login")
    given = claims.get("at_hash")
    if given is None or expected.access_token is None:
        return
    digest = hashlib.sha512 if algorithm == "EdDSA" else hashlib.sha256
    half = digest(expected.access_token.encode()).digest()
    wanted = base64.urlsafe_b64encode(half[: len(half) // 2]).rstrip(b"=")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), wanted):
        raise bad_token("it belongs to another access token")


def _subject(claims: Mapping[str, object]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT or not subject.isprintable():
        raise bad_token("it names no subject")
    return subject


def _number(claims: Mapping[str, object], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise bad_token(f"its {name} is no time")
    return float(value)


def _text(value: object, longest: int) -> str | None:
    """A claim for display; what can't be shown is left out."""
    if not isinstance(value, str) or not value.isprintable():
        return None
    return value[:longest] or None
