"""The test of a provider: what it publishes against what is configured, without logging anybody in."""

from collections.abc import Mapping
from typing import Final

import attrs
from ragwork_hooks.errors import ProviderError, not_found
from ragwork_hooks.services import Services

from ragwork_sso.providers.jwks import choose
from ragwork_sso.providers.openid import OpenIdClient
from ragwork_sso.providers.provider_store import IdentityProvider, ProviderStore
from ragwork_sso.providers.secret_refs import ClientSecrets

#: Our field → the provider's name for it (OpenID Connect Discovery §3).
_PUBLISHED: Final = (
    ("auth_url", "authorization_endpoint"),
    ("token_url", "token_endpoint"),
    ("jwks_url", "jwks_uri"),
)


@attrs.frozen(kw_only=True)
class Check:
    """One finding; ``message`` says what was seen."""

    #: What was looked at. Example: "jwks"
    name: str
    #: Whether it is well. Example: true
    ok: bool
    #: What was seen. Example: "2 keys"
    message: str


class ProviderCheck:
    """Asks a provider for its documents. Never for tokens."""

    def __init__(
        self, services: Services, providers: ProviderStore, secrets: ClientSecrets, openid: OpenIdClient
    ) -> None:
        self._services = services
        self._providers = providers
        self._secrets = secrets
        self._openid = openid

    async def run(self, tenant_id: str, provider_id: str) -> list[Check]:
        """All findings. ``Problem`` 404 for an unknown provider."""
        async with self._services.db.tenant(tenant_id, "read") as tx:
            provider = await self._providers.find(tx, provider_id)
        if provider is None:
            raise not_found("provider", provider_id)
        return [self._secret(provider), await self._keys(provider), *await self._discovery(provider)]

    def _secret(self, provider: IdentityProvider) -> Check:
        found = self._secrets.resolve(provider.tenant_id, provider.client_secret_ref) is not None
        message = "is configured for this tenant" if found else "is not configured for this tenant"
        return Check(name="client_secret", ok=found, message=f"{provider.client_secret_ref} {message}")

    async def _keys(self, provider: IdentityProvider) -> Check:
        try:
            keys = await self._openid.keys(provider.jwks_url)
        except ProviderError as error:
            return Check(name="jwks", ok=False, message=error.message)
        usable = [key for key in keys if any(choose([key], key.kid, a) for a in provider.algorithms)]
        pinned = ", ".join(provider.algorithms)
        return Check(name="jwks", ok=bool(usable), message=f"{len(usable)} keys for {pinned}")

    async def _discovery(self, provider: IdentityProvider) -> list[Check]:
        try:
            document = await self._openid.metadata(provider.issuer)
        except ProviderError as error:
            return [Check(name="discovery", ok=False, message=error.message)]
        return [
            Check(name="discovery", ok=True, message="the issuer is the document's own"),
            *(_same(provider, document, field, name) for field, name in _PUBLISHED),
            _algorithms(provider, document),
        ]


def _same(provider: IdentityProvider, document: Mapping[str, object], field: str, name: str) -> Check:
    ok = document.get(name) == getattr(provider, field)
    message = "is what the provider publishes" if ok else f"the provider publishes another {name}"
    return Check(name=field, ok=ok, message=message)


def _algorithms(provider: IdentityProvider, document: Mapping[str, object]) -> Check:
    published = document.get("id_token_signing_alg_values_supported")
    common = sorted(
        set(provider.algorithms) & {a for a in published if isinstance(a, str)}
        if isinstance(published, list)
        else set()
    )
    message = f"the provider signs with {', '.join(common)}" if common else "the provider signs otherwise"
    return Check(name="algorithms", ok=bool(common), message=message)
