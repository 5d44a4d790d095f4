"""The ``Directory`` capability over Postgres.

Rows are read under row level security, so a user of another tenant is simply absent. A change that
every credential must feel advances the user's epoch, drops the cached user in every process and cuts
the user's live streams, all with the commit of the caller's transaction.
"""

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from ragwork_hooks.audit import PLATFORM_TENANT
from ragwork_hooks.auth import Role, User
from ragwork_hooks.errors import Problem, not_found
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Cache, Row, Transaction
from ragwork_toolkit.rows import from_row

from ragwork_directory import role_requests
from ragwork_directory.role_requests import USER, RoleRequest

#: Upper bound on a cached user's age, should an invalidation ever be lost.
CACHE_TTL_S: Final = 15.0
#: So many admins can agree on a third.
_TWO: Final = 2

#: Those of the ids that are the tenant's users, with their groups.
_SELECT: Final = """
SELECT u.tenant_id, u.id, u.email, u.role, u.active, u.epoch, u.created_at,
       ARRAY(SELECT m.group_id FROM directory.memberships m
              WHERE m.tenant_id = u.tenant_id AND m.user_id = u.id) AS groups
  FROM directory.users u
 WHERE u.tenant_id = ragwork.tenant() AND u.id = ANY ($1::text[])
"""
# Two founders of one tenant take turns, so that the count is of what both have done.
_FOUNDING: Final = "SELECT pg_advisory_xact_lock(hashtextextended('directory/' || ragwork.tenant(), 0))"
_ADMINS: Final = """
SELECT count(*) FROM directory.users WHERE tenant_id = ragwork.tenant() AND role = 'admin' AND active
"""
_LOCK: Final = "SELECT FROM directory.users WHERE tenant_id = ragwork.tenant() AND id = $1 FOR UPDATE"
# The tenant is made in the same statement, so that the foreign key holds whoever comes first. The
# no-op update makes a concurrent creation visible, which DO NOTHING would hide.
_ENSURE: Final = """
WITH tenant AS (
    INSERT INTO directory.tenants (tenant_id) VALUES (ragwork.tenant()) ON CONFLICT DO NOTHING
)
INSERT INTO directory.users AS u (tenant_id, id, role) VALUES (ragwork.tenant(), $1, $2)
ON CONFLICT (tenant_id, id) DO UPDATE SET id = EXCLUDED.id
RETURNING u.tenant_id, u.id, u.email, u.role, u.active, u.epoch, u.created_at, xmax = 0 AS made,
          ARRAY(SELECT m.group_id FROM directory.memberships m
                 WHERE m.tenant_id = u.tenant_id AND m.user_id = u.id) AS groups
"""
#: Creates or renames a group, and makes its tenant in the same statement. Parameters: id, name.
_ENSURE_GROUP: Final = """
WITH tenant AS (
    INSERT INTO directory.tenants (tenant_id) VALUES (ragwork.tenant()) ON CONFLICT DO NOTHING
)
INSERT INTO directory.groups (tenant_id, id, name) VALUES (ragwork.tenant(), $1, $2)
ON CONFLICT (tenant_id, id) DO UPDATE SET name = EXCLUDED.name
"""
_UPDATE: Final = """
UPDATE directory.users u SET role = $2, active = $3, epoch = epoch + $4
 WHERE tenant_id = ragwork.tenant() AND id = $1
"""
#: The first of the ids, in their order, that is no group of the tenant.
_UNKNOWN_GROUPS: Final = """
SELECT wanted.id FROM unnest($1::text[]) AS wanted (id)
 WHERE NOT EXISTS (SELECT FROM directory.groups g
                    WHERE g.tenant_id = ragwork.tenant() AND g.id = wanted.id)
 ORDER BY wanted.id LIMIT 1
"""
#: Makes the groups a locked user's only ones and advances the epoch. Parameters: user, groups.
_REPLACE_MEMBERSHIPS: Final = """
WITH gone AS (
    DELETE FROM directory.memberships
     WHERE tenant_id = ragwork.tenant() AND user_id = $1 AND group_id <> ALL ($2::text[])
), bumped AS (
    UPDATE directory.users SET epoch = epoch + 1 WHERE tenant_id = ragwork.tenant() AND id = $1
)
INSERT INTO directory.memberships (tenant_id, user_id, group_id)
SELECT ragwork.tenant(), $1, wanted.id FROM unnest($2::text[]) AS wanted (id)
ON CONFLICT DO NOTHING
"""


class PostgresDirectory:
    """Tenants, users, groups and memberships. Implements ``ragwork_hooks.auth.Directory``."""

    def __init__(self, services: Services, *, dual_control: bool) -> None:
        self._services = services
        self._dual_control = dual_control
        self._users: Cache[User | None] = services.caches.cache("directory.users", ttl_s=CACHE_TTL_S)

    @property
    def dual_control(self) -> bool:
        return self._dual_control

    async def ensure_tenant(self, tx: Transaction) -> None:
        _refuse_platform(tx)
        await tx.execute(
            "INSERT INTO directory.tenants (tenant_id) VALUES (ragwork.tenant()) ON CONFLICT DO NOTHING"
        )

    async def require_tenant(self, tx: Transaction) -> None:
        if await tx.fetchval("SELECT EXISTS (SELECT FROM directory.tenants)"):
            return
        near = difflib.get_close_matches(tx.tenant_id, await self.tenants(), n=1)
        advice = f"; did you mean {near[0]!r}?" if near else ""
        raise Problem("NOT_FOUND", f"there is no tenant {tx.tenant_id!r}{advice}")

    async def tenants(self) -> Sequence[str]:
        async with self._services.db.anonymous() as tx:
            return [row["tenant_id"] for row in await tx.fetch("SELECT * FROM directory.all_tenants()")]

    async def ensure_user(
        self, tx: Transaction, user_id: str, role: Role, *, by: str, founding: bool = False
    ) -> User:
        _refuse_platform(tx)
        begins_as = role if await self._may_rise(tx, Role.READER, role, founding) else Role.READER
        row = await tx.fetchrow(_ENSURE, user_id, begins_as.label)
        assert row is not None  # INSERT … RETURNING with DO UPDATE always gives its row
        if row["made"]:
            # Somebody may have cached that there is no such user.
            await self._users.invalidate(tx, _key(tx.tenant_id, user_id))
            if begins_as < role:
                await role_requests.ask(tx, (USER, user_id), role, "", by)
        return _user(row)

    async def user(self, tx: Transaction, user_id: str) -> User | None:
        return (await self.users(tx, (user_id,))).get(user_id)

    async def users(self, tx: Transaction, user_ids: Collection[str]) -> Mapping[str, User]:
        return {row["id"]: _user(row) for row in await tx.fetch(_SELECT, list(user_ids))}

    async def current(self, tenant_id: str, user_id: str) -> User | None:
        async def load() -> User | None:
            async with self._services.db.tenant(tenant_id, "read") as tx:
                return await self.user(tx, user_id)

        return await self._users.get(_key(tenant_id, user_id), load)

    async def set_active(self, tx: Transaction, user_id: str, active: bool, *, by: str) -> User:
        user = await self._locked(tx, user_id)
        if user.active == active:
            return user
        role = user.role
        if active and not await self._may_rise(tx, Role.READER, role, founding=False):
            await role_requests.ask(tx, (USER, user_id), role, "", by)
            role = Role.READER
        # Enabling takes no right away from anybody, so it doesn't advance the epoch.
        await tx.execute(_UPDATE, user_id, role.label, active, int(not active))
        return await self._changed(tx, user_id, cut=not active)

    async def set_role(
        self, tx: Transaction, user_id: str, role: Role, *, by: str, founding: bool = False
    ) -> User:
        user = await self._locked(tx, user_id)
        if not await self._may_rise(tx, user.role, role, founding):
            await role_requests.ask(tx, (USER, user_id), role, "", by)
            return user
        return await self._given(tx, user, role)

    async def approve(self, tx: Transaction, request_id: str, by: str) -> tuple[User, RoleRequest]:
        """The user of an open request and the request as it was, once ``by`` wants it, too.

        The user has the role when an active admin has asked for it; else ``by`` is who asks from now on.
        ``Problem`` 403 when ``by`` gains by it, asked for it, or is no active admin; 404; 409 for a request of
        another kind.
        """
        request = await role_requests.locked(tx, request_id)
        if request.subject_type != USER:
            raise Problem(
                "CONFLICT",
                f"this one is about {request.subject_type} {request.subject_id!r}: a second admin agrees by sending"
                " the request that changes it again",
            )
        if by in (request.requested_by, request.subject_id):
            raise Problem("AUTH_FORBIDDEN", "somebody else than who asked and who gains must approve")
        await self._check_admin(tx, by)
        user = await self._locked(tx, request.subject_id)
        if not await self._is_admin(tx, request.requested_by):
            await role_requests.take_up(tx, request.id, by)
            return user, request
        return await self._given(tx, user, request.role), request

    async def agreed(
        self, tx: Transaction, subject: tuple[str, str], role: Role, state: str, *, by: str
    ) -> bool:
        if not self._dual_control:
            return True
        await self._check_admin(tx, by)
        request = await role_requests.of_subject(tx, subject)
        asker = None
        if request is not None and (request.role, request.state) == (role, state):
            asker = request.requested_by
        if asker not in (None, by) and await self._is_admin(tx, str(asker)):
            await role_requests.drop(tx, subject)
            return True
        await role_requests.ask(tx, subject, role, state, by)
        return False

    async def ensure_group(self, tx: Transaction, group_id: str, name: str) -> None:
        _refuse_platform(tx)
        await tx.execute(_ENSURE_GROUP, group_id, name)

    async def set_groups(self, tx: Transaction, user_id: str, groups: frozenset[str]) -> User:
        user = await self._locked(tx, user_id)
        if user.groups == groups:
            return user
        wanted = sorted(groups)
        unknown = await tx.fetchval(_UNKNOWN_GROUPS, wanted)
        if unknown is not None:
            raise not_found("group", unknown)
        await tx.execute(_REPLACE_MEMBERSHIPS, user_id, wanted)
        return await self._changed(tx, user_id, cut=not user.groups <= groups)

    async def _may_rise(self, tx: Transaction, old: Role, new: Role, founding: bool) -> bool:
        """Whether ``new`` holds at once for who is ``old``."""
        if new <= old or not self._dual_control:
            return True
        if not founding:
            return False
        await tx.execute(_FOUNDING)
        admins: int = await tx.fetchval(_ADMINS)
        return admins < _TWO

    async def _given(self, tx: Transaction, user: User, role: Role) -> User:
        """The locked user with ``role``; nothing waits for them any more."""
        await role_requests.drop(tx, (USER, user.id))
        if user.role == role:
            return user
        await tx.execute(_UPDATE, user.id, role.label, user.active, 1)
        return await self._changed(tx, user.id, cut=role < user.role)

    async def _is_admin(self, tx: Transaction, user_id: str) -> bool:
        user = await self.user(tx, user_id)
        return user is not None and user.active and user.role >= Role.ADMIN

    async def _check_admin(self, tx: Transaction, user_id: str) -> None:
        if not await self._is_admin(tx, user_id):
            raise Problem(
                "AUTH_FORBIDDEN", "only an active admin of the tenant, in person, can agree to this"
            )

    async def _locked(self, tx: Transaction, user_id: str) -> User:
        # Lock, then read: one statement would see memberships from before it waited for the lock.
        await tx.execute(_LOCK, user_id)
        user = await self.user(tx, user_id)
        if user is None:
            raise not_found("user", user_id)
        return user

    async def _changed(self, tx: Transaction, user_id: str, *, cut: bool) -> User:
        """The user after a change; ``cut`` when a right was taken away, so that no stream outlives it."""
        await self._users.invalidate(tx, _key(tx.tenant_id, user_id))
        if cut:
            await self._services.streams.cut(tx, user_id=user_id)
        user = await self.user(tx, user_id)
        assert user is not None  # its row is locked by this transaction
        return user


def _refuse_platform(tx: Transaction) -> None:
    """Nobody may be of the tenant whose rows belong to no tenant."""
    if tx.tenant_id == PLATFORM_TENANT:
        raise Problem("VALIDATION_ERROR", f"tenant {PLATFORM_TENANT!r} is the platform's own")


def _key(tenant_id: str, user_id: str) -> str:
    # A tenant id has no slash, so two pairs can't give one key.
    return f"{tenant_id}/{user_id}"


def _user(row: Row) -> User:
    return from_row(User, row, role=Role.parse(row["role"]), groups=frozenset(row["groups"]))
