"""Both blob stores: bound to their tenant, durable with the commit, closed to hostile names."""

import contextlib
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from ragwork_hooks.storage import Blob
from ragwork_kernel.blobs import DirectoryBlobs, PostgresBlobs
from ragwork_kernel.db import Pool
from ragwork_testkit.database import Database

HOSTILE = [
    "../../etc/x",
    "/etc/passwd",
    "a/../../b",
    "x" * 5000,
    "nul",
    "a\nb",
    "\u202egnp.exe",
    "%2e%2e/",
    ".",
    "",
]


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest_asyncio.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    made = await Pool.open(database.app, size=3, statement_timeout_ms=5000)
    yield made
    await made.close()


@pytest.fixture(params=["postgres", "directory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blob:
    make: dict[str, Callable[[], Blob]] = {
        "postgres": PostgresBlobs,
        "directory": lambda: DirectoryBlobs(tmp_path / "blobs"),
    }
    return make[request.param]()


async def test_a_blob_is_read_back_replaced_and_deleted(blobs: Blob, pool: Pool) -> None:
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


async def test_a_rolled_back_delete_keeps_the_blob(blobs: Blob, pool: Pool) -> None:
    async with pool.tenant("t1") as tx:
        await blobs.put(tx, "k", b"kept")
    with contextlib.suppress(ZeroDivisionError):
        async with pool.tenant("t1") as tx:
            await blobs.delete(tx, "k")
            raise ZeroDivisionError
    async with pool.tenant("t1") as tx:
        assert await blobs.get(tx, "k") == b"kept"


async def test_what_is_put_after_a_delete_in_the_same_transaction_stays(blobs: Blob, pool: Pool) -> None:
    async with pool.tenant("t1") as tx:
        await blobs.put(tx, "k", b"old")
    async with pool.tenant("t1") as tx:
        await blobs.delete(tx, "k")
        await blobs.put(tx, "k", b"new")
    async with pool.tenant("t1") as tx:
        assert await blobs.get(tx, "k") == b"new"


async def test_another_tenant_has_its_own_blobs(blobs: Blob, pool: Pool) -> None:
    async with pool.tenant("t1") as tx:
        await blobs.put(tx, "k", b"one")
    async with pool.tenant("t2") as tx:
        assert await blobs.get(tx, "k") is None
        await blobs.delete(tx, "k")
        await blobs.put(tx, "k", b"two")
    async with pool.tenant("t1") as tx:
        assert await blobs.get(tx, "k") == b"one"


async def test_no_name_leaves_its_tenants_folder_and_no_other_account_reads_it(
    tmp_path: Path, pool: Pool
) -> None:
    root = tmp_path / "data" / "blobs"
    blobs = DirectoryBlobs(root)
    async with pool.tenant("t1") as tx:
        for key in HOSTILE:
            await blobs.put(tx, key, key.encode())
        assert [await blobs.get(tx, key) for key in HOSTILE] == [key.encode() for key in HOSTILE]
    everything = files(tmp_path)
    assert len(everything) == len(HOSTILE)
    assert len({path.relative_to(root).parts[0] for path in everything}) == 1
    assert {stat.S_IMODE(path.stat().st_mode) for path in everything} == {0o600}
    folders = {folder for path in everything for folder in path.parents if folder.is_relative_to(root)}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


async def test_a_failed_write_leaves_the_old_blob_and_no_litter(
    tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = DirectoryBlobs(tmp_path)
    async with pool.tenant("t1") as tx:
        await blobs.put(tx, "k", b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ragwork_kernel.blobs.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        async with pool.tenant("t1") as tx:
            await blobs.put(tx, "k", b"new")
    async with pool.tenant("t1") as tx:
        assert await blobs.get(tx, "k") == b"old"
    assert len(files(tmp_path)) == 1


async def test_a_blob_without_a_tenant_is_refused(tmp_path: Path, pool: Pool) -> None:
    async with pool.anonymous() as tx:
        with pytest.raises(ValueError, match="tenant"):
            await DirectoryBlobs(tmp_path).get(tx, "k")
        assert await PostgresBlobs().get(tx, "k") is None
