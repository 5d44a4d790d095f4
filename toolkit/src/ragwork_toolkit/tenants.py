"""System tasks over all tenants: one that fails does not end the others.

Users: agents, audit, connectors, idempotency, quota, sso.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable

import attrs
from ragwork_hooks.storage import Database, Transaction

log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Summary:
    """How a sweep went."""

    #: How many tenants were visited.
    tenants: int
    #: Those whose work raised, in the order of the visits.
    failed: tuple[str, ...]
    #: The sum of what the others' work gave: rows, mostly.
    total: int

    def complete(self) -> int:
        """``total``; raises ``RuntimeError`` with the names when a tenant failed, so that the task counts as failed."""
        if self.failed:
            shown = ", ".join(self.failed[:10]) + (", …" if len(self.failed) > 10 else "")
            raise RuntimeError(
                f"{len(self.failed)} of {self.tenants} tenants failed, the others are done: {shown};"
                " the log has the reason of each"
            )
        return self.total


async def visit(ids: Iterable[str], work: Callable[[str], Awaitable[int]]) -> Summary:
    """``await work(id)`` for each tenant, one after the other; what it raises is logged and counted.

    For work that needs more than one transaction; else ``for_each_tenant``.
    """
    visited, total, failed = 0, 0, []
    for tenant_id in ids:
        visited += 1
        try:
            total += await work(tenant_id)
        except Exception:
            log.exception("a task over all tenants failed for %s and goes on with the next", tenant_id)
            failed.append(tenant_id)
    return Summary(tenants=visited, failed=tuple(failed), total=total)


async def for_each_tenant(
    db: Database, ids: Iterable[str], work: Callable[[Transaction], Awaitable[int]]
) -> Summary:
    """``await work(tx)`` for each tenant, in a transaction of its own."""

    async def one(tenant_id: str) -> int:
        async with db.tenant(tenant_id) as tx:
            return await work(tx)

    return await visit(ids, one)
