"""The log's anchors: files outside the database that show what was there.

``<folder>/<tenant>/<YYYY-MM>.notes`` holds every signed checkpoint and cut, one JSON string a line, only ever
appended to. ``<folder>/unsealed/<process>.jsonl`` holds the leaf hashes of records that this process committed and
nobody has sealed yet: between the commit and the seal they are the only witness.
"""

import contextlib
import fcntl
import logging
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs
import orjson

from ragwork_audit.sealing.signed_notes import month_of

log = logging.getLogger(__name__)

_UNSEALED: Final = ".unsealed"
#: A journal longer than this is written anew with what is still unsealed.
_JOURNAL_BYTES: Final = 4 << 20
_LONGEST_LINE: Final = 8192


class DamagedAnchors(Exception):
    """An anchor file is not as it was written."""


class AnchorFiles:
    """The signed notes in ``folder``. All methods block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last: dict[str, str] = {}

    def prepare(self) -> None:
        """Make the folder. Raises ``OSError``."""
        (self.folder / _UNSEALED).mkdir(parents=True, exist_ok=True, mode=0o700)

    def add(self, tenant_id: str, note: str) -> None:
        """Append ``note`` durably unless it is there. Raises ``OSError``."""
        if self._last.get(tenant_id) == note:
            return
        place = self.folder / tenant_id / f"{month_of(note)}.notes"
        place.parent.mkdir(exist_ok=True, mode=0o700)
        line = orjson.dumps(note) + b"\n"
        with place.open("a+b") as file:
            _drop_torn_line(file.fileno())
            if _tail(file.fileno(), len(line)) != line:
                os.write(file.fileno(), line)
                os.fsync(file.fileno())
        self._last[tenant_id] = note

    def tenants(self) -> list[str]:
        """Tenants that have anchors."""
        if not self.folder.is_dir():
            return []
        return sorted(p.name for p in self.folder.iterdir() if p.is_dir() and p.name != _UNSEALED)

    def notes(self, tenant_id: str) -> Iterator[str]:
        """All notes of the tenant. Raises ``DamagedAnchors`` for a line that is none."""
        for place in sorted((self.folder / tenant_id).glob("*.notes")):
            yield from read_notes(place)

    def forget_before(self, tenant_id: str, month: str) -> None:
        """Drop the files of months before ``month``: later notes stand for theirs."""
        for place in (self.folder / tenant_id).glob("*.notes"):
            if place.stem < month:
                place.unlink(missing_ok=True)

    def unsealed(self) -> list["Unsealed"]:
        """What every process' journal holds."""
        folder = self.folder / _UNSEALED
        return [entry for place in sorted(folder.glob("*.jsonl")) for entry in _entries(place)]


def read_notes(place: Path) -> Iterator[str]:
    """The notes of one file. A last line that a crash cut short is left out. Raises ``DamagedAnchors``."""
    lines = place.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):
        try:
            note = orjson.loads(line)
        except orjson.JSONDecodeError:
            note = None
        if not isinstance(note, str):
            raise DamagedAnchors(f"{place.name}, line {number}")
        yield note


def _tail(descriptor: int, length: int) -> bytes:
    end = os.fstat(descriptor).st_size
    return os.pread(descriptor, length, max(0, end - length))


def _drop_torn_line(descriptor: int) -> None:
    """A crash may leave the beginning of a line: it was never a note, and must not spoil the next."""
    tail = _tail(descriptor, _LONGEST_LINE)
    torn = len(tail) - (tail.rfind(b"\n") + 1)
    if torn:
        os.ftruncate(descriptor, os.fstat(descriptor).st_size - torn)


@attrs.frozen
class Unsealed:
    """A committed record that was not sealed yet when it was noted; ``leaf`` is its leaf hash."""

    tenant_id: str
    event_id: int
    leaf: bytes


class Journal:
    """What this process committed and has not seen sealed, in memory and in a file that survives it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / _UNSEALED
        self._place = self._folder / f"{uuid.uuid4().hex}.jsonl"
        self._descriptor = -1
        self._size = 0
        self._waiting: dict[str, dict[int, bytes]] = {}

    def open(self) -> None:
        """Begin this process' file and adopt those of processes that died. Raises ``OSError``."""
        self._start(self._place)
        for place in self._folder.glob("*.jsonl"):
            if place != self._place:
                self._adopt(place)

    def close(self) -> None:
        """Leave; the file stays only while it holds something."""
        if self._descriptor >= 0 and not self._waiting:
            self._place.unlink(missing_ok=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def note(self, entry: Unsealed) -> None:
        """Remember a committed record. Never raises: its transaction is over."""
        self._waiting.setdefault(entry.tenant_id, {})[entry.event_id] = entry.leaf
        try:
            self._size += os.write(self._descriptor, _line(entry))
        except OSError as error:
            log.error("audit journal %s can't be written: %s", self._place, error)

    def waiting(self, tenant_id: str) -> Mapping[int, bytes]:
        """Event id → leaf hash of the tenant's records that wait."""
        return self._waiting.get(tenant_id, {})

    def tenants(self) -> list[str]:
        """Tenants with records that wait."""
        return list(self._waiting)

    def sealed(self, tenant_id: str, event_ids: Iterable[int]) -> None:
        """These need no witness any more."""
        waiting = self._waiting.get(tenant_id, {})
        for event_id in event_ids:
            waiting.pop(event_id, None)
        if not waiting:
            self._waiting.pop(tenant_id, None)

    def tidy(self) -> None:
        """Let go of what is sealed once nothing waits, or once the file is long. Raises ``OSError``."""
        if self._size and not self._waiting:
            os.ftruncate(self._descriptor, 0)
            self._size = 0
        elif self._size > _JOURNAL_BYTES:
            self._rewrite()

    def _rewrite(self) -> None:
        old, old_descriptor = self._place, self._descriptor
        self._start(self._folder / f"{uuid.uuid4().hex}.jsonl")
        for tenant_id, waiting in self._waiting.items():
            for event_id, leaf in waiting.items():
                self._size += os.write(self._descriptor, _line(Unsealed(tenant_id, event_id, leaf)))
        old.unlink(missing_ok=True)
        os.close(old_descriptor)

    def _start(self, place: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._descriptor = os.open(place, flags, 0o600)
        # Held while the process lives: who gets the lock knows that the owner is gone.
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self._place, self._size = place, 0

    def _adopt(self, place: Path) -> None:
        with contextlib.suppress(FileNotFoundError), place.open("rb") as file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            for entry in _entries(place):
                self.note(entry)
            place.unlink(missing_ok=True)


def _line(entry: Unsealed) -> bytes:
    return orjson.dumps([entry.tenant_id, entry.event_id, entry.leaf.hex()]) + b"\n"


def _entries(place: Path) -> Iterator[Unsealed]:
    """What a journal holds; a line that a crash cut short is no entry."""
    try:
        lines = place.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    for line in lines[:-1]:
        try:
            tenant_id, event_id, leaf = orjson.loads(line)
            yield Unsealed(str(tenant_id), int(event_id), bytes.fromhex(leaf))
        except (ValueError, TypeError):
            log.error("audit journal %s has a damaged line", place)
