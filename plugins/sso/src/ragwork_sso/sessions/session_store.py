"""Sessions: opened by a login, found by their token's id, ended by logout, expiry or their provider's end."""

from datetime import datetime, timedelta
from typing import Final

import attrs
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Cache, Row, Transaction
from ragwork_toolkit.bearer_tokens.expiry import ExpiringToken
from ragwork_toolkit.bearer_tokens.format import digest
from ragwork_toolkit.bearer_tokens.lookup import TokenLookup
from ragwork_toolkit.rows import from_row

from ragwork_sso.sessions.session_tokens import SESSION

#: Upper bound in seconds on a cached session's age, should an invalidation ever be lost.
CACHE_TTL_S: Final = 15.0
#: How long ended sessions are kept for whoever looks into an incident.
KEPT_DAYS: Final = 30

_FIND: Final = """
SELECT *, clock_timestamp() AS read_at FROM sso.sessions WHERE tenant_id = ragwork.tenant() AND id = $1
"""
_INSERT: Final = """
INSERT INTO sso.sessions (tenant_id, id, user_id, provider_id, digest, expires_at)
VALUES (ragwork.tenant(), $1, $2, $3, $4, now() + $5::interval)
RETURNING expires_at
"""
_REVOKE: Final = """
UPDATE sso.sessions SET revoked_at = now()
 WHERE tenant_id = ragwork.tenant() AND id = $1 AND revoked_at IS NULL
RETURNING id
"""
_REVOKE_ALL: Final = """
UPDATE sso.sessions SET revoked_at = now()
 WHERE tenant_id = ragwork.tenant() AND provider_id = $1 AND revoked_at IS NULL AND expires_at > now()
RETURNING id
"""
#: Deletes sessions that expired or were revoked so many days ago, whichever came first, and counts them.
_PRUNE: Final = """
WITH gone AS (
    DELETE FROM sso.sessions
     WHERE tenant_id = ragwork.tenant() AND LEAST(expires_at, revoked_at) < now() - make_interval(days => $1)
    RETURNING id
)
SELECT count(*) FROM gone
"""


@attrs.frozen(kw_only=True)
class Session(ExpiringToken):
    """A session's row."""

    user_id: str
    provider_id: str
    expires_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, row: Row, asked_monotonic: float) -> "Session":
        return from_row(cls, row, read_monotonic=asked_monotonic)


@attrs.frozen(kw_only=True)
class Opened:
    """A new session and its token, which is shown this once and kept nowhere."""

    id: str
    token: str = attrs.field(repr=False)
    expires_at: datetime


class SessionStore:
    """All that touches the table. Writes act inside the caller's transaction."""

    def __init__(self, services: Services, pepper: bytes, lifetime: timedelta) -> None:
        self._services = services
        self._pepper = pepper
        self._lifetime = lifetime
        cache: Cache[Session] = services.caches.cache("sso.sessions", ttl_s=CACHE_TTL_S)
        #: Sessions whatever their tenant.
        self.lookup = TokenLookup(SESSION, pepper, cache, self._load)

    def digest(self, token: str) -> bytes:
        return digest(self._pepper, token)

    async def open(self, tx: Transaction, user_id: str, provider_id: str) -> Opened:
        session_id, token = SESSION.mint()
        expires_at = await tx.fetchval(
            _INSERT, session_id, user_id, provider_id, self.digest(token), self._lifetime
        )
        return Opened(id=session_id, token=token, expires_at=expires_at)

    async def revoke(self, tx: Transaction, session_id: str) -> None:
        """End one session everywhere within 1 s, its open streams included. Idempotent."""
        if await tx.fetchval(_REVOKE, session_id) is not None:
            await self._end(tx, session_id)

    async def revoke_all(self, tx: Transaction, provider_id: str) -> int:
        """End every session that ``provider_id`` vouched for; how many there were."""
        rows = await tx.fetch(_REVOKE_ALL, provider_id)
        for row in rows:
            await self._end(tx, row["id"])
        return len(rows)

    async def prune(self, tx: Transaction) -> int:
        """Delete the tenant's sessions that ended ``KEPT_DAYS`` ago; how many there were."""
        count: int = await tx.fetchval(_PRUNE, KEPT_DAYS)
        return count

    async def _end(self, tx: Transaction, session_id: str) -> None:
        await self.lookup.forget(tx, session_id)
        await self._services.streams.cut(tx, credential_id=session_id)

    async def _load(self, session_id: str) -> Session | None:
        asked = self._services.clock.monotonic()
        async with self._services.db.anonymous() as tx:
            tenant_id = await tx.fetchval("SELECT sso.tenant_of($1)", session_id)
        if tenant_id is None:
            return None
        async with self._services.db.tenant(tenant_id, "read") as tx:
            row = await tx.fetchrow(_FIND, session_id)
        return None if row is None else Session.of(row, asked)
