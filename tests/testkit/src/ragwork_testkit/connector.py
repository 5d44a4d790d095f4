"""The contract of a connector, as tests to subclass: give a simulated source, and ways to change it.

    class TestMyConnector(ConnectorContract):
        def options(self): ...
        async def put(self, key, data): ...
        async def delete(self, key): ...
        async def rename(self, key, to): ...
        async def break_listing(self): ...

The simulated source should list in pages of a few files: the kit puts more than a page there.
"""

from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar

import pytest
from ragwork_hooks.connectors import CONNECTOR, Connector, FileSource, SourceItem
from ragwork_hooks.errors import ProviderError

from ragwork_testkit.contract import ProviderContract
from ragwork_testkit.promises import BrokenPromise
from ragwork_testkit.watched import watched

#: Names that a source may have.
NAMES = (
    "notes.md",
    "deep/er/page.html",
    "with blanks.txt",
    "Grüße an alle.md",
    "日本語/案内.txt",
    "100% + more & 'quoted' = fun?.txt",
    "no-ending",
)
MAX_BYTES = 100_000


class ConnectorContract(ProviderContract):
    """Tests that every ``Connector`` passes. ``many`` are more files than a page of the simulated source."""

    kind = CONNECTOR
    many: ClassVar[int] = 25

    def options(self) -> Mapping[str, object]:
        """What a source of the kit is configured with."""
        raise NotImplementedError

    async def put(self, key: str, data: bytes) -> None:
        """Make the file at ``key``, or replace its content."""
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        raise NotImplementedError

    async def rename(self, key: str, to: str) -> None:
        raise NotImplementedError

    async def break_listing(self) -> None:
        """From now on a listing breaks off after its first files."""
        raise NotImplementedError

    @pytest.fixture
    async def files(self) -> FileSource:
        return await self._files()

    async def test_every_file_is_listed_once_with_its_size(self, files: FileSource) -> None:
        """A listing has every file once, over all of its pages: ask for the next page until there is none."""
        for number in range(self.many):
            await self.put(f"many/{number}.txt", b"x" * number)
        items = await _listed(files)
        assert sorted(item.key for item in items) == sorted(f"many/{n}.txt" for n in range(self.many))
        assert {item.key: item.size for item in items} == {f"many/{n}.txt": n for n in range(self.many)}

    async def test_names_of_every_kind_are_listed_and_read(self, files: FileSource) -> None:
        """Blanks, accents and signs in names come through: encode and decode them as the source does."""
        for name in NAMES:
            await self.put(name, f"content of {name}".encode())
        items = await _by_key(files)
        assert sorted(items) == sorted(NAMES)
        for name, item in items.items():
            assert await files.read(item, MAX_BYTES) == f"content of {name}".encode()

    async def test_content_is_read_exactly(self, files: FileSource) -> None:
        """Bytes come as they are: decode and unpack nothing."""
        data = bytes(range(256)) * 300 + b"\r\n\x1f\x8b"
        await self.put("all.bin", data)
        await self.put("empty.bin", b"")
        items = await _by_key(files)
        assert await files.read(items["all.bin"], MAX_BYTES) == data
        assert await files.read(items["empty.bin"], MAX_BYTES) == b""

    async def test_a_version_changes_with_the_content_and_not_otherwise(self, files: FileSource) -> None:
        """A version stands for a content: equal while nothing changes, another after every change."""
        await self.put("a.txt", b"one")
        await self.put("b.txt", b"same")
        before = await _by_key(files)
        assert {key: item.version for key, item in (await _by_key(files)).items()} == {
            key: item.version for key, item in before.items()
        }
        await self.put("a.txt", b"two")
        after = await _by_key(files)
        assert after["a.txt"].version != before["a.txt"].version
        assert after["b.txt"].version == before["b.txt"].version
        assert await files.read(after["a.txt"], MAX_BYTES) == b"two"

    async def test_what_is_deleted_or_renamed_is_no_longer_listed(self, files: FileSource) -> None:
        """A listing is of now: keep nothing of the one before."""
        for name in ("a.txt", "b.txt", "c.txt"):
            await self.put(name, name.encode())
        await _listed(files)
        await self.delete("a.txt")
        await self.rename("b.txt", "moved/b.txt")
        items = await _by_key(files)
        assert sorted(items) == ["c.txt", "moved/b.txt"]
        assert await files.read(items["moved/b.txt"], MAX_BYTES) == b"b.txt"

    async def test_a_listing_that_breaks_raises(self, files: FileSource) -> None:
        """A listing that can't be finished is a ProviderError: raise it, for what an early end leaves out would be
        deleted.
        """
        for number in range(self.many):
            await self.put(f"{number}/{number}.txt", b"x")
        await self.break_listing()
        assert await _is_refused(_listed(files))

    async def test_a_file_that_is_gone_or_too_large_is_a_provider_error(self, files: FileSource) -> None:
        """A file that can't be read is a ProviderError, and so is one that is larger than asked for: stop reading
        there.
        """
        await self.put("large.txt", b"x" * (MAX_BYTES + 1))
        await self.put("gone.txt", b"x")
        items = await _by_key(files)
        await self.delete("gone.txt")
        for item in items.values():
            assert await _is_refused(files.read(item, MAX_BYTES)), item.key

    async def test_hidden_files_are_left_out(self, files: FileSource) -> None:
        """A file is hidden when a part of its path begins with a dot: leave it out."""
        for name in (".env", "deep/.secret/key.txt", ".git/config", "shown.txt"):
            await self.put(name, b"x")
        assert list(await _by_key(files)) == ["shown.txt"]

    async def _files(self, made: Any = None) -> FileSource:
        connector: Connector = made or watched(await self.make())
        opened: FileSource = watched(connector.open(self.options()))
        return opened

    async def _use(self, made: Any, root: str = "") -> object:
        return await _listed(await self._files(made))


async def _is_refused(call: Awaitable[object]) -> bool:
    try:
        await call
    except ProviderError:
        return True
    return False


async def _listed(files: FileSource) -> list[SourceItem]:
    return [item async for item in files.items()]


async def _by_key(files: FileSource) -> dict[str, SourceItem]:
    items = await _listed(files)
    by_key = {item.key: item for item in items}
    if len(by_key) != len(items):
        raise BrokenPromise("a listing has every file once", "leave out what an earlier page had")
    return by_key
