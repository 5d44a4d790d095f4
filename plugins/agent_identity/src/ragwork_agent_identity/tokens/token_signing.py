"""JOSE as we use it: RS256 for what we sign, and an allow-list for what clients sign."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import attrs
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

ALGORITHM: Final = "RS256"
#: What a client may sign assertions and proofs with: asymmetric only, the key's type decides which.
CLIENT_ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
_BITS: Final = 2048
_SECRET_PARTS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_MAX_TOKEN: Final = 16_384
_MAX_HEADER: Final = 4096
_ALGORITHMS_OF: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("RSA", ""): ("RS256", "PS256"),
    ("EC", "P-256"): ("ES256",),
    ("OKP", "Ed25519"): ("EdDSA", "Ed25519"),
}
PublicKey = RSAKey | ECKey | OKPKey


class Unverified(Exception):
    """A token is not what it claims; the text says in which way."""


@attrs.frozen(kw_only=True)
class TokenSigner:
    """A tenant's signing key, open in memory."""

    kid: str
    key: RSAKey = attrs.field(repr=False)

    def sign(self, claims: Mapping[str, object], typ: str) -> str:
        """A compact JWS. About 0.3 ms: call it off the event loop."""
        header = {"alg": ALGORITHM, "typ": typ, "kid": self.kid}
        return jwt.encode(header, dict(claims), self.key, algorithms=[ALGORITHM])


def new_key() -> RSAKey:
    """A fresh RSA-2048 key."""
    return RSAKey.generate_key(_BITS, private=True)


def key_of_pem(pem: str) -> RSAKey:
    """A private RSA key of at least 2048 bits. Raises ``ValueError``."""
    try:
        key = RSAKey.import_key(pem)
    except (JoseError, ValueError, TypeError) as error:
        raise ValueError("is no PEM of an RSA private key") from error
    if not key.is_private or key.raw_value.key_size < _BITS:
        raise ValueError(f"must be a private RSA key of {_BITS} bits or more")
    return key


def private_pem(key: RSAKey) -> bytes:
    return key.as_pem(private=True)


def public_jwk(key: RSAKey) -> dict[str, str]:
    """The public half, ready to publish; ``kid`` is its RFC 7638 thumbprint."""
    public = key.as_dict(private=False)
    return {
        "kty": "RSA",
        "n": str(public["n"]),
        "e": str(public["e"]),
        "kid": key.thumbprint(),
        "use": "sig",
        "alg": ALGORITHM,
    }


def client_key(value: Mapping[str, Any]) -> PublicKey:
    """A client's public key. Raises ``Unverified`` for private, symmetric, weak or unknown ones."""
    if _SECRET_PARTS & set(value):
        raise Unverified("the key is not a public one")
    kind = (str(value.get("kty")), "" if value.get("kty") == "RSA" else str(value.get("crv")))
    if kind not in _ALGORITHMS_OF:
        raise Unverified("the key must be RSA, EC P-256 or Ed25519")
    known = {name: value[name] for name in ("kty", "n", "e", "crv", "x", "y", "kid") if name in value}
    try:
        classes: Mapping[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {
            "RSA": RSAKey,
            "EC": ECKey,
            "OKP": OKPKey,
        }
        key = classes[kind[0]].import_key(known)
        if isinstance(key, RSAKey) and not _BITS <= key.raw_value.key_size <= 8192:
            raise Unverified(f"an RSA key needs {_BITS} to 8192 bits")
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise Unverified("the key is malformed") from error
    return key


def key_id(value: Mapping[str, Any]) -> str:
    """The RFC 7638 thumbprint of a client's public key, as the credential that it is."""
    return f"jwk:{client_key(value).thumbprint()}"


def header_of(token: str) -> Mapping[str, Any]:
    """The header, before anything is believed. Raises ``Unverified`` for what is no compact JWS of ours."""
    if len(token) > _MAX_TOKEN or token.count(".") != 2:
        raise Unverified("it is no compact JWS")
    try:
        header = jws.extract_compact(token.encode(), registry=_registry()).headers()
    except (JoseError, ValueError, UnicodeError) as error:
        raise Unverified("it is no compact JWS") from error
    if "crit" in header or "b64" in header:
        raise Unverified("its header asks for extensions")
    return header


def unverified_claims(token: str) -> Mapping[str, Any]:
    """The claims, to find out whose key to verify them with. Believe nothing of it."""
    try:
        claims = json.loads(jws.extract_compact(token.encode(), registry=_registry()).payload)
    except (JoseError, ValueError, UnicodeError) as error:
        raise Unverified("its claims are no JSON") from error
    if not isinstance(claims, dict):
        raise Unverified("its claims are no JSON object")
    return claims


def verified(token: str, key: PublicKey, typ: str | None = None) -> Mapping[str, Any]:
    """The claims of ``token``, signed by ``key`` with an algorithm of that key's type. Times are not judged.

    Raises ``Unverified``.
    """
    header = header_of(token)
    if typ is not None and str(header.get("typ", "")).lower().removeprefix("application/") != typ:
        raise Unverified(f"its typ is not {typ}")
    crv = "" if isinstance(key, RSAKey) else str(key.as_dict(private=False).get("crv"))
    try:
        token_ = jwt.decode(token, key, registry=_registry(_ALGORITHMS_OF[key.key_type, crv]))
    except (JoseError, ValueError, TypeError, UnicodeError) as error:
        raise Unverified("its signature does not verify") from error
    return token_.claims


def number(claims: Mapping[str, Any], name: str) -> float:
    """A NumericDate. Raises ``Unverified``."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unverified(f"it has no {name}")
    return float(value)


def text(claims: Mapping[str, Any], name: str) -> str:
    """A non-empty string claim. Raises ``Unverified``."""
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise Unverified(f"it has no {name}")
    return value


def _registry(algorithms: tuple[str, ...] = CLIENT_ALGORITHMS) -> jws.JWSRegistry:
    registry = jws.JWSRegistry(algorithms=algorithms)
    registry.max_header_length = _MAX_HEADER  # the header of a DPoP proof carries a whole RSA key
    return registry


def thumbprint_sha256(data: str) -> str:
    """base64url(SHA-256(ASCII)), the form of ``ath``."""
    return base64.urlsafe_b64encode(hashlib.sha256(data.encode()).digest()).rstrip(b"=").decode()
