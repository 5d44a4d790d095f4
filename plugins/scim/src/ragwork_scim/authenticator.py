"""Who provisions: the authenticator of SCIM tokens, and when they were last used."""

from typing import Final

from ragwork_hooks.auth import Credential, Principal, Role
from ragwork_hooks.errors import unauthenticated
from ragwork_hooks.plugin import Services
from ragwork_toolkit.bearer_tokens.lookup import authenticate

from ragwork_scim.token_store import TokenStore
from ragwork_scim.tokens import SCIM

KIND: Final = "scim_token"
_UNAUTHORIZED: Final = "SCIM_UNAUTHORIZED"


class TokenAuthenticator:
    """Token → principal of its tenant that may call SCIM and nothing else.

    Implements ``ragwork_hooks.auth.Authenticator``. Warm, it asks nobody.
    """

    def __init__(self, services: Services, store: TokenStore) -> None:
        self.name = "scim"
        self._services = services
        self._store = store
        self._used: dict[tuple[str, str], float] = {}

    async def authenticate(self, credential: Credential) -> Principal | None:
        token = credential.bearer
        if token is None or not token.startswith(SCIM.prefix):
            return None
        message = "the SCIM token is malformed or unknown"
        known = await authenticate(self._store.lookup, token, _UNAUTHORIZED, message)
        now = self._services.clock.monotonic()
        if not known.usable(now):
            message = "this SCIM token has expired or was revoked"
            raise unauthenticated(_UNAUTHORIZED, message, known.tenant_id)
        self._used[known.tenant_id, known.id] = now
        return Principal(
            tenant_id=known.tenant_id,
            # No person stands behind it; the form is that of no directory user.
            user_id=f"scim-token:{known.id}",
            credential_id=known.id,
            kind=KIND,
            role=Role.ADMIN,
            scopes=frozenset({"scim.*"}),
        )

    async def write_used(self) -> None:
        """Write the last-used times of this process; what fails is given up, a later use writes again."""
        used, self._used = self._used, {}
        now = self._services.clock.monotonic()
        for tenant_id in {tenant for tenant, _ in used}:
            ago = {token: now - at for (tenant, token), at in used.items() if tenant == tenant_id}
            async with self._services.db.tenant(tenant_id) as tx:
                await self._store.touch(tx, ago)
