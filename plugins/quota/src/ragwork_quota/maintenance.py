"""Chores over all tenants: expired reservations, and counters past their age."""

from collections.abc import Awaitable, Callable
from typing import Final

from ragwork_hooks.auth import Directory
from ragwork_hooks.storage import Database, Transaction
from ragwork_toolkit.tenants import for_each_tenant

from ragwork_quota.ledger import QuotaLedger

# A period is as old as its last day, so the running one is never deleted, however short the retention.
_PRUNE: Final = """
WITH balances AS (
    DELETE FROM quota.balances b
     WHERE b.tenant_id = ragwork.tenant()
       AND (b.starts_on + CASE b.period WHEN 'month' THEN interval '1 month' ELSE interval '1 day' END
            + make_interval(days => $1))::date <= quota.today()
       AND NOT EXISTS (SELECT FROM quota.reservations r
           WHERE r.tenant_id = ragwork.tenant() AND b.starts_on = ANY (r.starts))
    RETURNING 1
), requests AS (
    DELETE FROM quota.requests r
     WHERE r.tenant_id = ragwork.tenant() AND r.day + 1 + $1::int <= quota.today()
    RETURNING 1
)
SELECT (SELECT count(*) FROM balances) + (SELECT count(*) FROM requests)
"""


class QuotaMaintenance:
    """Visits each tenant in a transaction of its own."""

    def __init__(self, db: Database, directory: Directory, ledger: QuotaLedger, retention_days: int) -> None:
        self._db = db
        self._directory = directory
        self._ledger = ledger
        self._retention_days = retention_days

    async def expire(self) -> None:
        """Settle or release every expired reservation. Raises ``RuntimeError`` when a tenant's failed."""
        await self._each(self._ledger.expire)

    async def prune(self) -> int:
        """Delete counters of periods that ended longer ago than they are kept; how many rows went. Raises alike."""

        async def prune(tx: Transaction) -> int:
            return int(await tx.fetchval(_PRUNE, self._retention_days))

        return await self._each(prune)

    async def _each(self, chore: Callable[[Transaction], Awaitable[int]]) -> int:
        return (await for_each_tenant(self._db, await self._directory.tenants(), chore)).complete()
