"""The authenticator of API keys."""

import hmac
from typing import Final

from ragwork_hooks.auth import Credential, Directory, Principal, User
from ragwork_hooks.errors import Problem

from ragwork_apikeys.known import Judge, KnownKey, unauthorized
from ragwork_apikeys.store import KeyStore
from ragwork_apikeys.tokens import KEY
from ragwork_apikeys.usage import Usage

# Compared with when there is no key, so that a made-up id takes the same steps as a real one.
_NO_DIGEST: Final = bytes(32)
_STANDARD_HEADER: Final = "authorization"


class ApiKeyAuthenticator:
    """Token → principal. Implements ``ragwork_hooks.auth.Authenticator``.

    Warm, it asks nobody: the key and its user come from caches that every change invalidates.
    """

    def __init__(
        self, store: KeyStore, directory: Directory, judge: Judge, usage: Usage, header: str
    ) -> None:
        self.name = "apikeys"
        self._store = store
        self._directory = directory
        self._judge = judge
        self._usage = usage
        self._header = header.lower()

    async def authenticate(self, credential: Credential) -> Principal | None:
        token = self._token(credential)
        if token is None or not token.startswith(KEY.prefix):
            return None
        key_id = KEY.id_of(token)
        if key_id is None:
            raise unauthorized()
        try:
            key = await self._store.known(key_id)
            if not hmac.compare_digest(self._store.digest(token), key.digest if key else _NO_DIGEST):
                key = None
            user = await self._directory.current(key.tenant_id, key.user_id) if key else None
        except Exception as error:
            raise Problem("AUTH_UNAVAILABLE", "credentials can't be checked at the moment") from error
        if key is None:
            raise unauthorized()
        principal = _principal(key, self._judge.check(key, user))
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


def _principal(key: KnownKey, user: User) -> Principal:
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
