"""Tokens in Postgres: made, found, rotated and revoked."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs
from ragwork_hooks.errors import Problem, not_found
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Cache, Row, Transaction
from ragwork_toolkit.bearer_tokens.expiry import ExpiringToken
from ragwork_toolkit.bearer_tokens.format import digest
from ragwork_toolkit.bearer_tokens.lookup import TokenLookup

from ragwork_scim.tokens.token_format import SCIM

#: Upper bound on a cached token's age, should an invalidation ever be lost.
CACHE_TTL_S: Final = 15.0

_INSERT: Final = """
INSERT INTO scim.tokens (tenant_id, id, digest, created_by, expires_at)
VALUES (ragwork.tenant(), $1, $2, $3, LEAST(now() + $4::interval, $5)) RETURNING expires_at
"""
_LIST: Final = """
SELECT id, created_at, last_used_at, expires_at, revoked_at FROM scim.tokens
 WHERE tenant_id = ragwork.tenant() ORDER BY revoked_at IS NOT NULL, created_at DESC, id LIMIT $1 OFFSET $2
"""
#: Revokes a token once; the lock in ``prior`` makes calls take turns, so that ``now`` is true for one of them.
_REVOKE: Final = """
WITH prior AS (
    SELECT id, revoked_at FROM scim.tokens WHERE tenant_id = ragwork.tenant() AND id = $1 FOR UPDATE
)
UPDATE scim.tokens t SET revoked_at = COALESCE(t.revoked_at, now())
  FROM prior WHERE t.tenant_id = ragwork.tenant() AND t.id = prior.id
RETURNING t.revoked_at, prior.revoked_at IS NULL AS now
"""
# The lock in ``prior`` makes twenty rotations of one token take turns; all but the first find a successor.
_ROTATE: Final = """
WITH prior AS (
    SELECT id FROM scim.tokens
     WHERE tenant_id = ragwork.tenant() AND id = $1 AND successor IS NULL
       AND revoked_at IS NULL AND expires_at > now()
       FOR UPDATE
), ended AS (
    UPDATE scim.tokens t SET successor = $2, expires_at = LEAST(t.expires_at, now() + $6::interval)
      FROM prior WHERE t.tenant_id = ragwork.tenant() AND t.id = prior.id
    RETURNING t.expires_at
)
INSERT INTO scim.tokens (tenant_id, id, digest, created_by, expires_at)
SELECT ragwork.tenant(), $2, $3, $4, LEAST(now() + $5::interval, $7) FROM ended
RETURNING expires_at, (SELECT expires_at FROM ended) AS old_expires_at
"""
_TOUCH: Final = """
UPDATE scim.tokens t SET last_used_at = GREATEST(t.last_used_at, now() - make_interval(secs => used.ago_s))
  FROM unnest($1::text[], $2::float8[]) AS used (id, ago_s)
 WHERE t.tenant_id = ragwork.tenant() AND t.id = used.id
"""


@attrs.frozen(kw_only=True)
class KnownToken(ExpiringToken):
    """A token's row."""

    revoked_at: datetime | None

    def usable(self, monotonic: float) -> bool:
        """Whether it may be used at ``monotonic`` seconds, by database time."""
        return self.revoked_at is None and not self.expired(monotonic)


@attrs.frozen(kw_only=True)
class MintedToken:
    """A new token, shown this once and kept nowhere. ``old_expires_at`` is when the one it replaces ends."""

    id: str
    token: str = attrs.field(repr=False)
    expires_at: datetime
    old_expires_at: datetime | None = None


class ScimTokenStore:
    """All that touches the table. Writes act inside the caller's transaction."""

    def __init__(self, services: Services, pepper: bytes, lifetime: timedelta) -> None:
        self._services = services
        self._pepper = pepper
        self._lifetime = lifetime
        cache: Cache[KnownToken] = services.caches.cache("scim.tokens", ttl_s=CACHE_TTL_S)
        #: Tokens whatever their tenant.
        self.lookup = TokenLookup(SCIM, pepper, cache, self._load)

    def digest(self, token: str) -> bytes:
        return digest(self._pepper, token)

    async def create(self, tx: Transaction, by: str, ends_by: datetime | None) -> MintedToken:
        """A new token of the configured life, which ends at ``ends_by`` at the latest."""
        token_id, token = SCIM.mint()
        values = (self.digest(token), by, self._lifetime, ends_by)
        expires_at = await tx.fetchval(_INSERT, token_id, *values)
        return MintedToken(id=token_id, token=token, expires_at=expires_at)

    async def page(self, tx: Transaction, *, limit: int, offset: int) -> Sequence[Row]:
        """A window of the tenant's tokens, newest first, revoked ones last."""
        return await tx.fetch(_LIST, limit, offset)

    async def revoke(self, tx: Transaction, token_id: str) -> tuple[datetime, bool]:
        """When it was revoked, and whether this call did it. Raises ``Problem`` 404."""
        row = await tx.fetchrow(_REVOKE, token_id)
        if row is None:
            raise not_found("SCIM token", token_id)
        await self.lookup.forget(tx, token_id)
        return row["revoked_at"], row["now"]

    async def rotate(
        self, tx: Transaction, token_id: str, by: str, overlap: timedelta, ends_by: datetime | None
    ) -> MintedToken:
        """The one successor of a token, which itself ends after ``overlap``. The successor ends at ``ends_by`` at the
        latest.

        Raises ``Problem`` 404 for an unknown token, 409 ``CONFLICT`` for one that has ended or was rotated.
        """
        new_id, token = SCIM.mint()
        values = (new_id, self.digest(token), by, self._lifetime, overlap, ends_by)
        row = await tx.fetchrow(_ROTATE, token_id, *values)
        if row is None:
            known = "SELECT FROM scim.tokens WHERE tenant_id = ragwork.tenant() AND id = $1"
            if await tx.fetchrow(known, token_id) is None:
                raise not_found("SCIM token", token_id)
            raise Problem("CONFLICT", f"SCIM token {token_id!r} has ended or was rotated before")
        await self.lookup.forget(tx, token_id)
        return MintedToken(id=new_id, token=token, **row)

    async def touch(self, tx: Transaction, seconds_ago: Mapping[str, float]) -> None:
        """Record when tokens were last used."""
        await tx.execute(_TOUCH, list(seconds_ago), list(seconds_ago.values()))

    async def _load(self, token_id: str) -> KnownToken | None:
        asked = self._services.clock.monotonic()
        async with self._services.db.anonymous() as tx:
            row = await tx.fetchrow("SELECT * FROM scim.find_token($1)", token_id)
        return None if row is None else KnownToken(**row, read_monotonic=asked)
