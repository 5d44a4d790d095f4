"""The authenticator of API keys."""

from typing import Final

from ragwork_hooks.auth import Credential, Directory, Principal, User
from ragwork_toolkit.bearer_tokens.lookup import authenticate, checking

from ragwork_apikeys.key_check import UNAUTHORIZED, UNKNOWN, CachedKey, KeyValidator, unauthorized
from ragwork_apikeys.store import KeyStore
from ragwork_apikeys.tokens import KEY
from ragwork_apikeys.usage import KeyUsage

_STANDARD_HEADER: Final = "authorization"


class ApiKeyAuthenticator:
    """Token → principal. Implements ``ragwork_hooks.auth.Authenticator``.

    Warm, it asks nobody: the key and its user come from caches that every change invalidates.
    """

    def __init__(
        self, store: KeyStore, directory: Directory, validator: KeyValidator, usage: KeyUsage, header: str
    ) -> None:
        self.name = "apikeys"
        self._store = store
        self._directory = directory
        self._validator = validator
        self._usage = usage
        self._header = header.lower()

    async def authenticate(self, credential: Credential) -> Principal | None:
        token = self._token(credential)
        if token is None or not token.startswith(KEY.prefix):
            return None
        key = await authenticate(self._store.lookup, token, UNAUTHORIZED, UNKNOWN)
        with checking():
            user = await self._directory.current(key.tenant_id, key.user_id)
        principal = _principal(key, self._validator.check(key, user))
        self._usage.note(key)
        return principal

    def _token(self, credential: Credential) -> str | None:
        values = credential.headers.getall(self._header, ())
        if len(values) > 1:
            raise unauthorized(f"the header {self._header} is there {len(values)} times")
        if self._header == _STANDARD_HEADER:
            return credential.bearer
        if not values:
            return None
        scheme, _, rest = values[0].partition(" ")
        return rest.strip() if scheme.lower() == "bearer" else values[0].strip()


def _principal(key: CachedKey, user: User) -> Principal:
    return Principal(
        tenant_id=key.tenant_id,
        user_id=key.user_id,
        credential_id=key.id,
        kind="api_key",
        # A key never grants more than the person behind it has today.
        role=min(key.role, user.role),
        groups=user.groups,
        platform=key.platform,
        expires_at=key.expires_at,
    )
