"""Reads that tolerate lag go to a replica, while there is one; everything else to the primary."""

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from ragwork_hooks.errors import Problem
from ragwork_hooks.operations import Metrics
from ragwork_hooks.storage import Database, Mode, Transaction

log = logging.getLogger(__name__)


class ReplicaAwareDatabase:
    """Implements ``ragwork_hooks.storage.Database`` over a primary and a replica of it, which begins at once."""

    def __init__(self, primary: Database, replica: Database, metrics: Metrics) -> None:
        self._primary = primary
        self._replica = replica
        self._metrics = metrics

    def tenant(
        self, tenant_id: str, mode: Mode = "write", *, stale: bool = False
    ) -> AbstractAsyncContextManager[Transaction]:
        if mode == "read" and stale:
            return self._lagging(tenant_id)
        return self._primary.tenant(tenant_id, mode)

    def anonymous(self) -> AbstractAsyncContextManager[Transaction]:
        return self._primary.anonymous()

    @asynccontextmanager
    async def _lagging(self, tenant_id: str) -> AsyncIterator[Transaction]:
        """From the replica; from the primary when the replica can't begin a transaction."""
        async with AsyncExitStack() as stack:
            try:
                tx = await stack.enter_async_context(self._replica.tenant(tenant_id, "read"))
                self._metrics.count("db_stale_reads_total", "Reads that tolerate lag", source="replica")
            except Problem:
                self._metrics.count("db_stale_reads_total", "Reads that tolerate lag", source="primary")
                tx = await stack.enter_async_context(self._primary.tenant(tenant_id, "read"))
            yield tx
