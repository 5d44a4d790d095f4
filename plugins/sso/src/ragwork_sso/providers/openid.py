"""What is asked of a provider: its documents, and the exchange of a code for tokens.

Everything goes through the egress client: addresses vetted and pinned, no redirects, bytes and seconds
bounded. Together the bounds stay below a request's deadline.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote_plus, urlencode

import attrs
import orjson
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.services import Egress, EgressResponse

from ragwork_sso.problems import exchange_failed
from ragwork_sso.providers import jwks as jwks
from ragwork_sso.providers.provider_store import IdentityProvider

_MAX_BYTES: Final = 262_144
_DISCOVERY_S: Final = 3.0
_TOKEN_S: Final = 5.0
_JWKS_S: Final = 4.0


@attrs.frozen(kw_only=True)
class ProviderTokens:
    """What a code was worth. Neither is kept or logged."""

    id_token: str = attrs.field(repr=False)
    access_token: str | None = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Redemption:
    """One code and the secrets that prove that it is ours."""

    code: str = attrs.field(repr=False)
    redirect_uri: str
    verifier: str = attrs.field(repr=False)
    client_secret: str = attrs.field(repr=False)


class OpenIdClient:
    """Speaks to providers."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress

    async def keys(self, url: str) -> Sequence[jwks.VerificationKey]:
        """The usable keys at a JWKS URL. Raises ``ProviderError``."""
        return jwks.parse(await self._document(url, _JWKS_S))

    async def metadata(self, issuer: str) -> Mapping[str, object]:
        """The issuer's discovery document, which must be its own. Raises ``ProviderError``."""
        document = await self._document(
            f"{issuer.rstrip('/')}/.well-known/openid-configuration", _DISCOVERY_S
        )
        if document.get("issuer") != issuer:
            raise ProviderError("INTEGRATION_UNAVAILABLE", "the discovery document is of another issuer")
        return document

    async def redeem(self, provider: IdentityProvider, redemption: Redemption) -> ProviderTokens:
        """Exchange the code once: a code that failed is spent. Raises ``Problem`` 502."""
        form = {
            "grant_type": "authorization_code",
            "code": redemption.code,
            "redirect_uri": redemption.redirect_uri,
            "code_verifier": redemption.verifier,
        }
        try:
            response = await self._egress.request(
                "POST",
                provider.token_url,
                headers={
                    "Authorization": _basic(provider.client_id, redemption.client_secret),
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Accept": "application/json",
                },
                body=urlencode(form).encode(),
                timeout_s=_TOKEN_S,
                max_bytes=_MAX_BYTES,
            )
        except ProviderError as error:
            raise exchange_failed(error.message) from error
        if response.status != 200:
            raise exchange_failed(f"it refused the code with {response.status}{_reason(response)}")
        answer = _object(response.body)
        id_token, access_token = answer.get("id_token"), answer.get("access_token")
        if not isinstance(id_token, str):
            raise exchange_failed("it gave no ID token")
        return ProviderTokens(
            id_token=id_token, access_token=access_token if isinstance(access_token, str) else None
        )

    async def _document(self, url: str, timeout_s: float) -> Mapping[str, object]:
        response = await self._egress.request(
            "GET",
            url,
            headers={"Accept": "application/json"},
            timeout_s=timeout_s,
            max_bytes=_MAX_BYTES,
        )
        if response.status != 200:
            raise ProviderError("INTEGRATION_UNAVAILABLE", f"the provider answers {response.status}")
        document = _object(response.body)
        if not document:
            raise ProviderError("INTEGRATION_UNAVAILABLE", "the provider's document is no JSON object")
        return document


def _basic(client_id: str, client_secret: str) -> str:
    """RFC 6749 §2.3.1: both are form-encoded before they are joined."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _reason(response: EgressResponse) -> str:
    """The standard's error code, never the free text beside it."""
    code = _object(response.body).get("error")
    known = isinstance(code, str) and len(code) <= 40 and code.replace("_", "").isalpha()
    return f" {code}" if known else ""


def _object(body: bytes) -> Mapping[str, object]:
    """The JSON object in ``body``; empty for anything else."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
