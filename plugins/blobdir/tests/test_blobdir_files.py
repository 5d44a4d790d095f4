"""Blobs in a directory keep the contract, and are closed to hostile names."""

import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from ragwork_blobdir.blobs import DirectoryBlobs
from ragwork_hooks.storage import Blob
from ragwork_kernel.data.db import Pool
from ragwork_testkit.blobs import BlobContract
from ragwork_testkit.database import FreshDatabase

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
async def pool(database: FreshDatabase) -> AsyncIterator[Pool]:
    made = await Pool.open(database.app, size=3, statement_timeout_ms=5000)
    yield made
    await made.close()


class TestDirectoryBlobs(BlobContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Blob:
        return DirectoryBlobs(tmp_path / "blobs")


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

    monkeypatch.setattr("ragwork_blobdir.blobs.os.fsync", full)
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


async def test_the_folder_that_is_named_holds_what_a_plugin_stores(platform: Any, tmp_path: Path) -> None:
    async with platform(plugins=("directory",), settings={"BLOB_DIR": str(tmp_path / "blobs")}) as app:
        services = app.platform.facades["directory"]
        async with services.db.tenant("t1") as tx:
            await services.blob.put(tx, "k", b"on disk")
    assert [path.read_bytes() for path in files(tmp_path / "blobs")] == [b"on disk"]
