"""The connector ``folder``: the files below a folder of this machine, or of a share that is mounted on it."""

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import attrs
from ragwork_hooks.connectors import Connector, FileSource, SourceItem
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.fields import text
from ragwork_hooks.providers import Provider, ProviderContext


@attrs.frozen(kw_only=True)
class FolderOptions:
    """``path`` is the folder, from the root of the file system."""

    path: str = text(min_length=1, max_length=4096)


@attrs.frozen(kw_only=True)
class FolderConnector:
    """Implements ``Connector``."""

    name: str = "folder"

    def open(self, options: Mapping[str, object]) -> FileSource:
        return FolderSource(Path(str(options["path"])))


class FolderSource:
    """The files below ``root``. Links to files within it are followed, others and links to folders are not."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def items(self) -> AsyncGenerator[SourceItem, None]:
        """See ``FileSource.items``; a folder at a time."""
        waiting = [""]
        while waiting:
            folders, items = await asyncio.to_thread(self._look, waiting.pop())
            waiting += folders
            for item in items:
                yield item

    async def read(self, item: SourceItem, max_bytes: int) -> bytes:
        """See ``FileSource.read``."""
        return await asyncio.to_thread(self._read, item.key, max_bytes)

    def _look(self, folder: str) -> tuple[list[str], list[SourceItem]]:
        """The folders and the files in ``folder``, by their paths below the root."""
        folders: list[str] = []
        items: list[SourceItem] = []
        try:
            root = self._root.resolve(strict=True)
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    key = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(key)
                    else:
                        items += _item(root, key)
        except OSError as error:
            # A root that is missing, or forbidden, will be so in a moment; whatever else happens below it may pass.
            may_pass = self._root.is_dir() and not isinstance(error, PermissionError)
            raise _failed(f"{self._root / folder} can't be listed", error, retryable=may_pass) from error
        return folders, items

    def _read(self, key: str, max_bytes: int) -> bytes:
        try:
            root = self._root.resolve(strict=True)
            path = (root / key).resolve(strict=True)
            with _opened(root, path) as file:
                data = file.read(max_bytes + 1)
        except OSError as error:
            raise _failed(f"{self._root / key} can't be read", error, retryable=False) from error
        if len(data) > max_bytes:
            raise ProviderError("CONNECTOR_ERROR", f"{key} has more than {max_bytes} bytes")
        return data


def _item(root: Path, key: str) -> Iterator[SourceItem]:
    """The file at ``key``, unless it is something else, leads out of the root, or is gone by now."""
    try:
        path = (root / key).resolve(strict=True)
        found = path.stat()
    except (FileNotFoundError, RuntimeError):  # a link to nothing, or to itself
        return
    if stat.S_ISREG(found.st_mode) and _is_within(root, path):
        yield SourceItem(
            key=key,
            # The time of the last change can't be set, unlike that of the last modification.
            version=f"{found.st_size}-{found.st_ctime_ns}",
            size=found.st_size,
            modified=datetime.fromtimestamp(found.st_mtime, UTC),
        )


def _opened(root: Path, path: Path) -> BinaryIO:
    """The file at ``path``, which holds no link. Between a look and the opening somebody may have put one there: what
    was opened is held against the path once more. Raises ``OSError``.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_NOFOLLOW", 0))
    file = os.fdopen(descriptor, "rb")
    found = os.fstat(descriptor)
    is_same = path.resolve(strict=True) == path and os.path.samestat(os.lstat(path), found)
    if not (is_same and stat.S_ISREG(found.st_mode) and _is_within(root, path)):
        file.close()
        raise PermissionError("it is no file within the folder")
    return file


def _is_within(root: Path, path: Path) -> bool:
    """Whether ``path`` is below ``root``, and nothing on the way is hidden."""
    return path.is_relative_to(root) and not any(
        part.startswith(".") for part in path.relative_to(root).parts
    )


def _failed(what: str, error: OSError, *, retryable: bool) -> ProviderError:
    return ProviderError("CONNECTOR_ERROR", f"{what}: {error.strerror or error}", retryable=retryable)


def _judged(_context: ProviderContext[Any], _tenant_id: str, options: FolderOptions) -> str | None:
    path = Path(options.path)
    if not path.is_absolute():
        return f"path {options.path!r} must begin at the root: workers run in folders of their own"
    if ".." in path.parts:
        return f"path {options.path!r} must not have '..' in it: write it out"
    return None


async def _open(_context: ProviderContext[Any]) -> Connector:
    return FolderConnector()


provider: Provider[Connector] = Provider(
    name="folder", open=_open, options=FolderOptions, check_tenant=_judged
)
