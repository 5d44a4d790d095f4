"""Keys in Postgres: made, found, changed, rotated and revoked."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs
from ragwork_hooks.auth import Role
from ragwork_hooks.errors import Problem, not_found
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Cache, Row, Transaction
from ragwork_toolkit.bearer_tokens.format import digest
from ragwork_toolkit.bearer_tokens.lookup import TokenLookup
from ragwork_toolkit.rows import from_row

from ragwork_apikeys.key_check import CachedKey
from ragwork_apikeys.tokens import KEY

_INSERT: Final = """
INSERT INTO apikeys.keys (tenant_id, id, user_id, name, role, platform, digest, expires_at)
VALUES (ragwork.tenant(), $1, $2, $3, $4, $5, $6, LEAST(now() + $7::interval, $8))
"""
# A tenant's additions take turns until the commit; the count is a statement of its own, so that it
# sees what the turn before has added.
_TURN: Final = "SELECT pg_advisory_xact_lock(hashtextextended('apikeys.room/' || ragwork.tenant(), 0))"
_COUNT_USABLE: Final = """
SELECT count(*) FROM apikeys.keys
 WHERE tenant_id = ragwork.tenant() AND revoked_at IS NULL AND disabled_at IS NULL
   AND (expires_at IS NULL OR expires_at > now())
"""
_UNREVOKED: Final = """
SELECT id FROM apikeys.keys
 WHERE tenant_id = ragwork.tenant() AND id = ANY ($1::text[]) AND revoked_at IS NULL
"""
_USABLE: Final = """
SELECT id FROM apikeys.keys
 WHERE tenant_id = ragwork.tenant() AND id = ANY ($1::text[]) AND revoked_at IS NULL
   AND disabled_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""
# Revoked keys are kept, so the list is bounded; those that may work again come before them.
_ALL: Final = """
SELECT *, now() AS read_at FROM (
    SELECT * FROM apikeys.keys WHERE tenant_id = ragwork.tenant()
     ORDER BY revoked_at IS NOT NULL, created_at DESC, id LIMIT 1000
) AS kept ORDER BY created_at DESC, id
"""
#: A tenant's keys, newest first. Parameters: only expired and unused ones, days that make it unused, limit, offset.
_PAGE: Final = """
SELECT *, now() AS read_at FROM apikeys.keys
 WHERE tenant_id = ragwork.tenant()
   AND (NOT $1 OR expires_at <= now()
        OR COALESCE(last_used_at, created_at) <= now() - make_interval(days => $2))
 ORDER BY created_at DESC, id LIMIT $3 OFFSET $4
"""
_LOCK: Final = """
SELECT *, now() AS read_at FROM apikeys.keys WHERE tenant_id = ragwork.tenant() AND id = $1 FOR UPDATE
"""
#: Changes a key; null leaves, and enabling counts as a use. Parameters: id, name, end, active, whether to revoke.
_CHANGE: Final = """
UPDATE apikeys.keys
   SET name = COALESCE($2, name),
       expires_at = COALESCE($3, expires_at),
       disabled_at = CASE WHEN $4::boolean THEN NULL
                          WHEN NOT $4 THEN COALESCE(disabled_at, now()) ELSE disabled_at END,
       last_used_at = CASE WHEN $4 THEN now() ELSE last_used_at END,
       revoked_at = CASE WHEN $5 THEN COALESCE(revoked_at, now()) ELSE revoked_at END
 WHERE tenant_id = ragwork.tenant() AND id = $1
RETURNING *, now() AS read_at
"""
# The lock in ``prior`` makes twenty rotations of one key take turns; all but the first find a
# successor. The new key lives as long as the old one was meant to, counted from now.
_ROTATE: Final = """
WITH prior AS (
    SELECT id, user_id, name, role, platform, expires_at - created_at AS lifetime
      FROM apikeys.keys
     WHERE tenant_id = ragwork.tenant() AND id = $1 AND successor IS NULL
       AND revoked_at IS NULL AND disabled_at IS NULL AND (expires_at IS NULL OR expires_at > now())
       FOR UPDATE
), ended AS (
    UPDATE apikeys.keys k
       SET successor = $2, expires_at = LEAST(COALESCE(k.expires_at, 'infinity'), now() + $4::interval)
      FROM prior WHERE k.tenant_id = ragwork.tenant() AND k.id = prior.id
    RETURNING k.expires_at
)
INSERT INTO apikeys.keys (tenant_id, id, user_id, name, role, platform, digest, expires_at)
SELECT ragwork.tenant(), $2, p.user_id, p.name, p.role, p.platform, $3, now() + p.lifetime
  FROM prior p, ended
RETURNING (SELECT expires_at FROM ended) AS old_expires_at
"""
#: True for one of many uses at once, as the update itself checks that none was recorded for an hour.
_FIRST: Final = """
UPDATE apikeys.keys SET success_recorded_at = now()
 WHERE tenant_id = ragwork.tenant() AND id = $1
   AND (success_recorded_at IS NULL OR success_recorded_at <= now() - interval '1 hour')
RETURNING true
"""
#: Moves the last use of keys forward, never back. Parameters: ids, how many seconds ago each was used.
_TOUCH: Final = """
UPDATE apikeys.keys k
   SET last_used_at = GREATEST(k.last_used_at, now() - make_interval(secs => used.ago_s))
  FROM unnest($1::text[], $2::float8[]) AS used (id, ago_s)
 WHERE k.tenant_id = ragwork.tenant() AND k.id = used.id
"""


@attrs.frozen(kw_only=True)
class KeyView:
    """A key without anything secret, as it was at ``read_at``, database time."""

    id: str
    user_id: str
    name: str | None
    role: Role
    platform: bool
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    disabled_at: datetime | None
    revoked_at: datetime | None
    read_at: datetime

    @classmethod
    def of(cls, row: Row) -> "KeyView":
        """From a row of the table with ``read_at``."""
        return from_row(cls, row, role=Role.parse(row["role"]))

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= self.read_at

    @property
    def inactive_days(self) -> int:
        """Whole days since the last use, or since creation."""
        return max(0, (self.read_at - (self.last_used_at or self.created_at)).days)

    @property
    def usable(self) -> bool:
        """Whether the key itself may be used; its user's state is not considered."""
        return self.revoked_at is None and self.disabled_at is None and not self.is_expired


@attrs.frozen(kw_only=True)
class KeyChange:
    """What to change of a key; ``None`` leaves it. ``revoke`` is for good, ``active`` can be turned back."""

    name: str | None = None
    expires_at: datetime | None = None
    active: bool | None = None
    revoke: bool = False


@attrs.frozen(kw_only=True)
class NewToken:
    """A new key's id and its token, which is shown this once and kept nowhere."""

    id: str
    token: str = attrs.field(repr=False)


class KeyStore:
    """All that touches the table. Writes act inside the caller's transaction."""

    def __init__(self, services: Services, pepper: bytes, cache_ttl_s: float) -> None:
        self._services = services
        self._pepper = pepper
        cache: Cache[CachedKey] = services.caches.cache("apikeys.keys", ttl_s=cache_ttl_s)
        #: Keys whatever their tenant.
        self.lookup = TokenLookup(KEY, pepper, cache, self._load)

    def digest(self, token: str) -> bytes:
        return digest(self._pepper, token)

    async def create(
        self,
        tx: Transaction,
        *,
        user_id: str,
        name: str | None,
        role: Role,
        platform: bool,
        lifetime: timedelta | None = None,
        ends_by: datetime | None = None,
    ) -> NewToken:
        """A new key that ends after ``lifetime``, at ``ends_by`` at the latest; with neither it has no end."""
        key_id, token = KEY.mint()
        values = (user_id, name, role.label, platform, self.digest(token), lifetime, ends_by)
        await tx.execute(_INSERT, key_id, *values)
        return NewToken(id=key_id, token=token)

    async def count_usable(self, tx: Transaction) -> int:
        """Keys that may be used, once it is this transaction's turn to add to them."""
        await tx.execute(_TURN)
        count: int = await tx.fetchval(_COUNT_USABLE)
        return count

    async def all(self, tx: Transaction) -> Sequence[KeyView]:
        """The tenant's keys, newest first: 1,000 at most, and revoked ones only as far as there is room."""
        return [KeyView.of(row) for row in await tx.fetch(_ALL)]

    async def unrevoked(self, tx: Transaction, ids: Collection[str]) -> frozenset[str]:
        """Those of ``ids`` that are keys which nobody has revoked."""
        return frozenset(row["id"] for row in await tx.fetch(_UNREVOKED, list(ids)))

    async def usable(self, tx: Transaction, ids: Collection[str]) -> frozenset[str]:
        """Those of ``ids`` that are keys neither revoked nor disabled nor over."""
        return frozenset(row["id"] for row in await tx.fetch(_USABLE, list(ids)))

    async def page(
        self, tx: Transaction, *, only_inactive: bool, inactive_days: int, limit: int, offset: int
    ) -> Sequence[KeyView]:
        """Keys, newest first; ``only_inactive`` keeps expired ones and those unused for ``inactive_days``."""
        return [KeyView.of(row) for row in await tx.fetch(_PAGE, only_inactive, inactive_days, limit, offset)]

    async def locked(self, tx: Transaction, key_id: str) -> KeyView:
        """The key, held until the transaction ends. Raises ``Problem`` 404."""
        row = await tx.fetchrow(_LOCK, key_id)
        if row is None:
            raise not_found("API key", key_id)
        return KeyView.of(row)

    async def change(self, tx: Transaction, key_id: str, change: KeyChange) -> KeyView:
        """Apply ``change`` to a key that the transaction holds; ends its streams if it may not go on."""
        row = await tx.fetchrow(_CHANGE, key_id, change.name, change.expires_at, change.active, change.revoke)
        if row is None:
            raise not_found("API key", key_id)
        view = KeyView.of(row)
        await self.lookup.forget(tx, key_id)
        if not view.usable:
            await self._services.streams.cut(tx, credential_id=key_id)
        return view

    async def rotate(self, tx: Transaction, key_id: str, overlap: timedelta) -> tuple[NewToken, datetime]:
        """The one successor of a key, and when the key itself ends.

        Raises ``Problem`` 404 for an unknown key and 409 ``CONFLICT`` for one that is not in use or
        has a successor.
        """
        new_id, token = KEY.mint()
        old_expires_at = await tx.fetchval(_ROTATE, key_id, new_id, self.digest(token), overlap)
        if old_expires_at is None:
            await self.locked(tx, key_id)
            raise Problem("CONFLICT", f"API key {key_id!r} is not in use or was rotated before")
        await self.lookup.forget(tx, key_id)
        if not overlap:
            await self._services.streams.cut(tx, credential_id=key_id)
        return NewToken(id=new_id, token=token), old_expires_at

    async def touch(self, tx: Transaction, seconds_ago: Mapping[str, float]) -> None:
        """Record when keys were last used; keys that are gone are passed over."""
        await tx.execute(_TOUCH, list(seconds_ago), list(seconds_ago.values()))

    async def first_in_an_hour(self, tx: Transaction, key_id: str) -> bool:
        """Whether no use of the key was recorded for an hour; one is from now on."""
        return bool(await tx.fetchval(_FIRST, key_id))

    async def _load(self, key_id: str) -> CachedKey | None:
        asked = self._services.clock.monotonic()
        async with self._services.db.anonymous() as tx:
            row = await tx.fetchrow("SELECT * FROM apikeys.find($1)", key_id)
        return None if row is None else CachedKey.of(row, asked)
