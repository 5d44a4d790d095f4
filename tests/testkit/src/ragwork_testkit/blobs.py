"""The contract of ``ragwork_hooks.storage.Blob``: subclass ``BlobContract`` and define the fixture ``blobs``."""

import contextlib
from collections.abc import AsyncIterator

import pytest_asyncio
from ragwork_hooks.storage import Blob
from ragwork_kernel.data.db import Pool

from ragwork_testkit.contract_base import Contract
from ragwork_testkit.database import FreshDatabase


class BlobContract(Contract):
    """Bytes that are bound to their tenant and live and die with the transaction, over a real database."""

    @pytest_asyncio.fixture
    async def pool(self, database: FreshDatabase) -> AsyncIterator[Pool]:
        made = await Pool.open(database.app, size=3, statement_timeout_ms=5000)
        yield made
        await made.close()

    async def test_a_blob_is_read_back_replaced_and_deleted(self, blobs: Blob, pool: Pool) -> None:
        """A blob is read back, replaced and deleted: store bytes, empty ones too; let an absent key be deleted."""
        data = bytes(range(256)) * 4096
        async with pool.tenant("t1") as tx:
            await blobs.put(tx, "k", data)
            assert await blobs.get(tx, "k") == data
            assert await blobs.get(tx, "other") is None
        async with pool.tenant("t1") as tx:
            await blobs.put(tx, "k", b"")
        async with pool.tenant("t1") as tx:
            assert await blobs.get(tx, "k") == b""
            await blobs.delete(tx, "k")
            await blobs.delete(tx, "absent")
        async with pool.tenant("t1", "read") as tx:
            assert await blobs.get(tx, "k") is None

    async def test_a_rolled_back_delete_keeps_the_blob(self, blobs: Blob, pool: Pool) -> None:
        """A delete that is rolled back keeps the blob: delete in ``tx.on_commit``, or in the database itself."""
        async with pool.tenant("t1") as tx:
            await blobs.put(tx, "k", b"kept")
        with contextlib.suppress(ZeroDivisionError):
            async with pool.tenant("t1") as tx:
                await blobs.delete(tx, "k")
                raise ZeroDivisionError
        async with pool.tenant("t1") as tx:
            assert await blobs.get(tx, "k") == b"kept"

    async def test_what_is_put_after_a_delete_in_the_same_transaction_stays(
        self, blobs: Blob, pool: Pool
    ) -> None:
        """What is put after a delete in one transaction stays: let the delete spare what is newer than itself."""
        async with pool.tenant("t1") as tx:
            await blobs.put(tx, "k", b"old")
        async with pool.tenant("t1") as tx:
            await blobs.delete(tx, "k")
            await blobs.put(tx, "k", b"new")
        async with pool.tenant("t1") as tx:
            assert await blobs.get(tx, "k") == b"new"

    async def test_another_tenant_has_its_own_blobs(self, blobs: Blob, pool: Pool) -> None:
        """Another tenant has its own blobs: make the tenant of the transaction part of every key."""
        async with pool.tenant("t1") as tx:
            await blobs.put(tx, "k", b"one")
        async with pool.tenant("t2") as tx:
            assert await blobs.get(tx, "k") is None
            await blobs.delete(tx, "k")
            await blobs.put(tx, "k", b"two")
        async with pool.tenant("t1") as tx:
            assert await blobs.get(tx, "k") == b"one"

    async def test_a_blob_without_a_tenant_is_never_found(self, blobs: Blob, pool: Pool) -> None:
        """A blob without a tenant is never found: raise ``ValueError``, or find nothing."""
        async with pool.tenant("t1") as tx:
            await blobs.put(tx, "k", b"one")
        async with pool.anonymous() as tx:
            with contextlib.suppress(ValueError):
                assert await blobs.get(tx, "k") is None
