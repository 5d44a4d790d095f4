"""Policies in Postgres, and the set in force from a cache that any change reaches within 1 s."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final
from uuid import uuid4

from ragwork_hooks.errors import Problem, not_found
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Cache, Row, Transaction

from ragwork_abac.policies import BUILT_IN, AbacPolicy, PolicySet

log = logging.getLogger(__name__)
#: Bounds of what one tenant keeps, and so of what one decision can cost.
MAX_POLICIES: Final = 1_000
MAX_TOTAL_BYTES: Final = 1_048_576
_CACHE_TTL_S: Final = 60.0
_COLUMNS: Final = """id, tenant_id, name, version, effect, resource_type, action, condition, priority, enabled,
    created_by, created_at, updated_at"""


class AbacPolicyStore:
    """Reads and writes policies."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._cache: Cache[PolicySet] = services.caches.cache("abac.policies", ttl_s=_CACHE_TTL_S)

    async def in_force(self, tenant_id: str) -> PolicySet:
        """The rules that decide for the tenant now: no round trip when warm."""

        async def load() -> PolicySet:
            async with self._services.db.tenant(tenant_id, "read") as tx:
                policies = await self.page(tx)
            # Compiling a thousand policies takes longer than the event loop should wait.
            found = await asyncio.to_thread(PolicySet.of, tenant_id, policies)
            for policy in found.invalid():
                log.error("policy %s of tenant %s is not valid; it denies", policy.id, tenant_id)
                self._services.metrics.count(
                    "authz_policies_invalid_total", "Stored policies that could not be understood and deny"
                )
            return found

        return await self._cache.get(tenant_id, load)

    async def page(self, tx: Transaction) -> Sequence[AbacPolicy]:
        """The tenant's own policies, enabled or not, in the order in which they are asked."""
        rows = await tx.fetch(
            f"""SELECT {_COLUMNS} FROM abac.policies WHERE tenant_id = ragwork.tenant()
            ORDER BY priority DESC, id LIMIT {MAX_POLICIES}"""  # noqa: S608  # constants of this module
        )
        return [_policy(row) for row in rows]

    async def locked(self, tx: Transaction, policy_id: str) -> AbacPolicy:
        """A policy that is about to change. Raises ``Problem`` 404, also for a built-in one."""
        if any(policy.id == policy_id for policy in BUILT_IN):
            raise Problem("NOT_FOUND", f"policy {policy_id!r} is built in and can't be changed")
        await _take_turns(tx)
        return await self.one(tx, policy_id)

    async def one(self, tx: Transaction, policy_id: str) -> AbacPolicy:
        """A policy of the tenant or a built-in one. Raises ``Problem`` 404."""
        for policy in BUILT_IN:
            if policy.id == policy_id:
                return policy
        row = await tx.fetchrow(
            f"SELECT {_COLUMNS} FROM abac.policies WHERE tenant_id = ragwork.tenant() AND id = $1",  # noqa: S608
            policy_id,
        )
        if row is None:
            raise not_found("policy", policy_id)
        return _policy(row)

    async def create(self, tx: Transaction, policy: AbacPolicy) -> AbacPolicy:
        """Store a new policy under an id of its own. Raises ``Problem`` 422 at the tenant's bounds."""
        await _take_turns(tx)
        row = await tx.fetchrow(
            f"""INSERT INTO abac.policies (tenant_id, id, name, effect, resource_type, action, condition,
                priority, enabled, created_by)
            VALUES (ragwork.tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING {_COLUMNS}""",  # noqa: S608
            uuid4().hex,
            *_values(policy),
            policy.created_by,
        )
        return await self._changed(tx, row)

    async def replace(self, tx: Transaction, policy: AbacPolicy) -> AbacPolicy:
        """Store another state of a locked policy as its next version. Raises ``Problem`` 422."""
        row = await tx.fetchrow(
            f"""UPDATE abac.policies SET name = $2, effect = $3, resource_type = $4, action = $5,
                condition = $6, priority = $7, enabled = $8, version = version + 1, updated_at = now()
            WHERE tenant_id = ragwork.tenant() AND id = $1 RETURNING {_COLUMNS}""",  # noqa: S608
            policy.id,
            *_values(policy),
        )
        return await self._changed(tx, row)

    async def _changed(self, tx: Transaction, row: Row | None) -> AbacPolicy:
        if row is None:
            raise RuntimeError("a locked policy is gone")
        await _check_bounds(tx)
        await self._cache.invalidate(tx, tx.tenant_id)
        return _policy(row)


async def _take_turns(tx: Transaction) -> None:
    """Changes of one tenant's policies come one after another, so that its bounds are exact."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('abac:' || ragwork.tenant(), 0))")


async def _check_bounds(tx: Transaction) -> None:
    row = await tx.fetchrow(
        """SELECT count(*) AS number, coalesce(sum(octet_length(condition::text)), 0) AS bytes
        FROM abac.policies WHERE tenant_id = ragwork.tenant()"""
    )
    if row is None or row["number"] > MAX_POLICIES or row["bytes"] > MAX_TOTAL_BYTES:
        raise Problem(
            "AUTHZ_POLICY_TOO_COMPLEX",
            f"a tenant keeps at most {MAX_POLICIES} policies and {MAX_TOTAL_BYTES} bytes of conditions",
        )


def _values(policy: AbacPolicy) -> tuple[object, ...]:
    return (
        policy.name,
        policy.effect,
        policy.resource_type,
        policy.action,
        dict(policy.condition),
        policy.priority,
        policy.enabled,
    )


def _policy(row: Row) -> AbacPolicy:
    return AbacPolicy(**row)
