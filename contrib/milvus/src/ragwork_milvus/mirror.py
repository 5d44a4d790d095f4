"""Keeps Milvus equal to the local index: told by durable events which document changed, never what it was."""

import asyncio
from typing import Final

from ragwork_hooks.events import Delivery
from ragwork_hooks.retrieval import INDEX_CHANGED, PassageSource
from ragwork_hooks.storage import Database

from ragwork_milvus.engine import Engine

_PAGE: Final = 200


class Mirror:
    """A ``Sink`` that copies the state of the document that an event names.

    It reads what the index has now, so an event that comes twice, late or after its document went changes
    nothing. Work on one document never overlaps in this process, and goes on when a delivery's time is up:
    the next attempt waits for it and finds it done.
    """

    name = "milvus.mirror"
    types: tuple[str, ...] = (INDEX_CHANGED,)

    def __init__(self, db: Database, source: PassageSource, engine: Engine) -> None:
        self._db = db
        self._source = source
        self._engine = engine
        self._under_way: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def deliver(self, delivery: Delivery) -> None:
        """See ``Sink``."""
        await self.copy(delivery.tenant_id, str(delivery.event.payload["document_id"]))

    async def copy(self, tenant_id: str, document_id: str) -> None:
        """Make Milvus hold of the document what the index holds. Raises ``ProviderError``."""
        key = (tenant_id, document_id)
        while (before := self._under_way.get(key)) is not None:
            await asyncio.wait([before])
        task = asyncio.create_task(self._copy(tenant_id, document_id), name="milvus: copy")
        self._under_way[key] = task
        task.add_done_callback(lambda _done: self._under_way.pop(key))
        await asyncio.shield(task)

    async def copy_all(self, tenant_id: str) -> int:
        """Copy every document of the tenant, for an index that is older than this plugin; how many."""
        copied, after = 0, ""
        while True:
            async with self._db.tenant(tenant_id) as tx:
                ids = await self._source.document_ids(tx, after, _PAGE)
            for document_id in ids:
                await self.copy(tenant_id, document_id)
            copied += len(ids)
            if len(ids) < _PAGE:
                return copied
            after = ids[-1]

    async def drain(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def _copy(self, tenant_id: str, document_id: str) -> None:
        # "write" although nothing is written: a replica may not have yet what the event tells of.
        async with self._db.tenant(tenant_id, "write") as tx:
            indexed = await self._source.document(tx, document_id)
        if indexed is None:
            await self._engine.remove(tenant_id, document_id)
        else:
            await self._engine.put(tenant_id, indexed)
