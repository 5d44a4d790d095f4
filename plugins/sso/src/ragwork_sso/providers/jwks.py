"""The keys of a provider: read from its JWKS, chosen by key id and algorithm, and nothing else.

A token's own words about its key (``jwk``, ``jku``, ``x5u`` …) are never followed. Symmetric keys, keys
for encryption, keys made for another algorithm and short RSA keys are not taken.
"""

import base64
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import attrs
from ragwork_hooks.errors import ProviderError

if TYPE_CHECKING:
    from joserfc.jwk import ECKey, OKPKey, RSAKey

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")
_MAX_KEYS: Final = 100
#: Shorter ones can be broken, longer ones make every verification a burden.
_RSA_BITS: Final = range(2048, 8193)
_MAX_EXPONENT_BITS: Final = 32
#: Algorithm → key type and curve.
_FITS: Final[Mapping[str, tuple[str, str | None]]] = MappingProxyType(
    {
        "RS256": ("RSA", None),
        "PS256": ("RSA", None),
        "ES256": ("EC", "P-256"),
        "EdDSA": ("OKP", "Ed25519"),
    }
)
_PUBLIC: Final = ("kty", "n", "e", "crv", "x", "y")


@attrs.frozen(kw_only=True)
class VerificationKey:
    """A public key and what its owner says of it."""

    kid: str | None
    algorithm: str | None
    kind: str
    curve: str | None
    key: "RSAKey | ECKey | OKPKey"

    def fits(self, algorithm: str) -> bool:
        return (self.kind, self.curve) == _FITS[algorithm] and self.algorithm in (None, algorithm)


def parse(document: Mapping[str, object]) -> Sequence[VerificationKey]:
    """The usable keys of a JWKS; others are passed over, as RFC 7517 §5 asks. ``ProviderError`` when it is none."""
    listed = document.get("keys")
    if not isinstance(listed, list) or len(listed) > _MAX_KEYS:
        raise ProviderError("INTEGRATION_UNAVAILABLE", f"the JWKS is no list of at most {_MAX_KEYS} keys")
    return [key for each in listed if isinstance(each, dict) and (key := _usable(each)) is not None]


def choose(keys: Sequence[VerificationKey], kid: str | None, algorithm: str) -> VerificationKey | None:
    """The one key for a token's header; ``None`` when there is none or more than one."""
    found = [key for key in keys if key.fits(algorithm) and kid in (None, key.kid)]
    return found[0] if len(found) == 1 else None


def _usable(jwk: Mapping[str, object]) -> VerificationKey | None:
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    kid, algorithm, curve = jwk.get("kid"), jwk.get("alg"), jwk.get("crv")
    operations = jwk.get("key_ops")
    for_signatures = jwk.get("use", "sig") == "sig"
    if isinstance(operations, list) and "verify" not in operations:
        for_signatures = False
    if not for_signatures or not all(isinstance(v, str | None) for v in (kid, algorithm, curve)):
        return None
    kinds: Mapping[object, type[RSAKey] | type[ECKey] | type[OKPKey]] = {
        "RSA": RSAKey,
        "EC": ECKey,
        "OKP": OKPKey,
    }
    kind = kinds.get(jwk.get("kty"))
    if kind is None:
        return None
    try:
        if kind is RSAKey and not _sound(jwk):
            return None
        key = kind.import_key({name: str(jwk[name]) for name in _PUBLIC if name in jwk})
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return VerificationKey(
        kid=kid if isinstance(kid, str) else None,
        algorithm=algorithm if isinstance(algorithm, str) else None,
        kind=str(jwk["kty"]),
        curve=curve if isinstance(curve, str) else None,
        key=key,
    )


def _sound(jwk: Mapping[str, object]) -> bool:
    """Whether an RSA key is of a usable size."""
    modulus, exponent = _bits(jwk["n"]), _bits(jwk["e"])
    return modulus in _RSA_BITS and 1 < exponent <= _MAX_EXPONENT_BITS


def _bits(value: object) -> int:
    """The length of a base64url number."""
    text = str(value)
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big").bit_length()
