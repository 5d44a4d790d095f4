"""Who provisions: the authenticator of SCIM tokens, and when they were last used."""

import hmac
from typing import Final

from ragwork_hooks.auth import Credential, Principal, Role
from ragwork_hooks.errors import Problem, unauthenticated
from ragwork_hooks.plugin import Services

from ragwork_scim.token_store import TokenStore
from ragwork_scim.tokens import SCIM

KIND: Final = "scim_token"
# Compared with when there is no token, so that a made-up id takes the same steps as a real one.
_NO_DIGEST: Final = bytes(32)


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
        token_id = SCIM.id_of(token)
        if token_id is None:
            raise _unauthorized()
        try:
            known = await self._store.known(token_id)
        except Exception as error:
            raise Problem("AUTH_UNAVAILABLE", "credentials can't be checked at the moment") from error
        if not hmac.compare_digest(self._store.digest(token), known.digest if known else _NO_DIGEST):
            known = None
        if known is None:
            raise _unauthorized()
        now = self._services.clock.monotonic()
        if not known.usable(now):
            raise _unauthorized("this SCIM token has expired or was revoked", known.tenant_id)
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


def _unauthorized(
    message: str = "the SCIM token is malformed or unknown", tenant_id: str | None = None
) -> Problem:
    return unauthenticated("SCIM_UNAUTHORIZED", message, tenant_id)
