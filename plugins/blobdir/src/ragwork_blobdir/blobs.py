"""Blobs as files in a directory. They live and die with the transaction."""

import asyncio
import hashlib
import os
import tempfile
from pathlib import Path

from ragwork_hooks.storage import Transaction


class DirectoryBlobs:
    """Implements ``ragwork_hooks.storage.Blob`` under ``root``, for one machine.

    File names are hashes of tenant and key, so no name can leave its tenant's folder. A blob is on disk
    before its transaction commits: after a rollback the bytes stay, as a file that no row names. Deleting
    waits for the commit and spares what was put under the same key in the meantime.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    async def put(self, tx: Transaction, key: str, data: bytes) -> None:
        await asyncio.to_thread(_write, self._path(tx, key), data)

    async def get(self, tx: Transaction, key: str) -> bytes | None:
        return await asyncio.to_thread(_read, self._path(tx, key))

    async def delete(self, tx: Transaction, key: str) -> None:
        path = self._path(tx, key)
        doomed = await asyncio.to_thread(_identity, path)
        if doomed is not None:
            tx.on_commit(lambda: _remove(path, doomed))

    def _path(self, tx: Transaction, key: str) -> Path:
        if not tx.tenant_id:
            raise ValueError("a blob needs a tenant")
        name = _digest(key)
        return self._root / _digest(tx.tenant_id) / name[:2] / name


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _write(path: Path, data: bytes) -> None:
    for folder in (path.parent.parent.parent, path.parent.parent, path.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")  # made with mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _identity(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _remove(path: Path, inode: int) -> None:
    """Two cheap system calls, so it may run on the event loop right after the commit."""
    if _identity(path) == inode:
        path.unlink(missing_ok=True)
