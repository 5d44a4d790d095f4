"""Who provisions: the authenticator of SCIM tokens."""

from typing import Final

from ragwork_hooks.auth import Credential, Principal, Role
from ragwork_hooks.errors import unauthenticated
from ragwork_hooks.services import Services
from ragwork_toolkit.bearer_tokens.lookup import authenticate
from ragwork_toolkit.last_used import LastUsed

from ragwork_scim.tokens.token_format import SCIM
from ragwork_scim.tokens.token_store import ScimTokenStore

KIND: Final = "scim_token"
_UNAUTHORIZED: Final = "SCIM_UNAUTHORIZED"


class TokenAuthenticator:
    """Token → principal of its tenant that may call SCIM and nothing else.

    Implements ``ragwork_hooks.auth.Authenticator``. Warm, it asks nobody.
    """

    def __init__(self, services: Services, store: ScimTokenStore) -> None:
        self.name = "scim"
        self._services = services
        self._store = store
        self.last_used = LastUsed(services, store.touch)

    async def authenticate(self, credential: Credential) -> Principal | None:
        token = credential.bearer
        if token is None or not token.startswith(SCIM.prefix):
            return None
        message = "the SCIM token is malformed or unknown"
        known = await authenticate(self._store.lookup, token, _UNAUTHORIZED, message)
        if not known.usable(self._services.clock.monotonic()):
            message = "this SCIM token has expired or was revoked"
            raise unauthenticated(_UNAUTHORIZED, message, known.tenant_id)
        self.last_used.note(known.tenant_id, known.id)
        return Principal(
            tenant_id=known.tenant_id,
            # No person stands behind it; the form is that of no directory user.
            user_id=f"scim-token:{known.id}",
            credential_id=known.id,
            kind=KIND,
            role=Role.ADMIN,
            scopes=frozenset({"scim.*"}),
        )
