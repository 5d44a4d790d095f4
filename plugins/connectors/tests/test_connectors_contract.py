"""``folder`` keeps the contract of kind ``connector``, and never leaves its folder."""

import asyncio
import os

import pytest
from ragwork_connectors import folder
from ragwork_connectors.folder import FolderConnector, FolderSource
from ragwork_hooks.errors import ProviderError
from ragwork_testkit.connector import MAX_BYTES, ConnectorContract


class TestFolder(ConnectorContract):
    @pytest.fixture(autouse=True)
    def with_root(self, tmp_path, monkeypatch):
        self.root = tmp_path / "root"
        self.root.mkdir()
        self.monkeypatch = monkeypatch

    def options(self):
        return {"path": str(self.root)}

    async def put(self, key, data):
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    async def delete(self, key):
        (self.root / key).unlink()

    async def rename(self, key, to):
        (self.root / to).parent.mkdir(parents=True, exist_ok=True)
        (self.root / key).rename(self.root / to)

    async def break_listing(self):
        whole = os.scandir

        def breaks(path):
            if str(path).endswith("/7"):
                raise OSError(5, "Input/output error")
            return whole(path)

        self.monkeypatch.setattr(folder.os, "scandir", breaks)


@pytest.fixture
def root(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    inside = tmp_path / "root"
    (inside / "deep").mkdir(parents=True)
    (inside / "deep" / "real.txt").write_text("real")
    return inside


async def keys(source):
    return sorted([item.key async for item in source.items()])


async def test_links_are_followed_within_the_folder_only(root):
    (root / "out.txt").symlink_to(root.parent / "outside" / "secret.txt")
    (root / "out").symlink_to(root.parent / "outside")
    (root / "up").symlink_to("..")
    (root / "itself").symlink_to("itself")
    (root / "nowhere").symlink_to("nothing")
    (root / "again").symlink_to(root / "deep")
    (root / ".hidden").write_text("hidden")
    (root / "shown").symlink_to(".hidden")
    (root / "near.txt").symlink_to("deep/real.txt")
    os.mkfifo(root / "pipe")
    source = FolderSource(root)
    assert await keys(source) == ["deep/real.txt", "near.txt"]
    (near,) = [item async for item in source.items() if item.key == "near.txt"]
    assert await source.read(near, MAX_BYTES) == b"real"


async def test_a_file_that_became_a_link_out_of_the_folder_is_not_read(root):
    source = FolderSource(root)
    (item,) = [item async for item in source.items()]
    (root / "deep" / "real.txt").unlink()
    (root / "deep" / "real.txt").symlink_to(root.parent / "outside" / "secret.txt")
    with pytest.raises(ProviderError, match="no file within the folder"):
        await source.read(item, MAX_BYTES)
    (root / "deep" / "real.txt").unlink()
    (root / "deep").rmdir()
    (root / "deep").symlink_to(root.parent / "outside")
    (root.parent / "outside" / "real.txt").write_text("secret")
    with pytest.raises(ProviderError, match="no file within the folder"):
        await source.read(item, MAX_BYTES)


async def test_a_pipe_in_place_of_a_file_holds_nobody_up(root):
    source = FolderSource(root)
    (item,) = [item async for item in source.items()]
    (root / "deep" / "real.txt").unlink()
    os.mkfifo(root / "deep" / "real.txt")
    async with asyncio.timeout(5):
        with pytest.raises(ProviderError, match="no file within the folder"):
            await source.read(item, MAX_BYTES)


async def test_a_folder_that_is_itself_a_link_is_read(root, tmp_path):
    (tmp_path / "link").symlink_to(root)
    assert await keys(FolderConnector().open({"path": str(tmp_path / "link")})) == ["deep/real.txt"]
