"""File locks that end with their holder: the kernel drops a ``flock`` when the last process dies.

Three of them count the users of a server and tell whether it lives, without trusting a process id:

- *gate*: exclusive and short, around starting and stopping;
- *users*: shared, held by each process that uses the server for as long as it does;
- *server*: exclusive, inherited by Postgres and all its children, so it is free exactly when none is left.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_S = 0.005


class FileLock:
    """One open file description on ``path`` (created 0600) and the lock on it, if any.

    Raises ``OSError`` when the file can't be opened. Not inheritable unless passed on by name.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def fileno(self) -> int:
        return self._fd

    def share(self) -> None:
        """Take the shared lock; waits only for an exclusive holder."""
        fcntl.flock(self._fd, fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        """True when this description now holds the file alone."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Give up this description. A process that inherited it keeps the lock."""
        os.close(self._fd)


@contextmanager
def exclusively(path: Path, patience_s: float) -> Iterator[None]:
    """Hold ``path`` alone inside the block. Raises ``TimeoutError`` after ``patience_s`` seconds."""
    lock = FileLock(path)
    try:
        deadline = time.monotonic() + patience_s
        while not lock.try_exclusive():
            if time.monotonic() > deadline:
                raise TimeoutError(path)
            time.sleep(POLL_S)
        yield
    finally:
        lock.close()


def is_free(path: Path) -> bool:
    """Whether nobody holds ``path`` at this moment."""
    lock = FileLock(path)
    try:
        return lock.try_exclusive()
    finally:
        lock.close()
