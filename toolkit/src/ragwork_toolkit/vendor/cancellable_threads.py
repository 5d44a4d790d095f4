"""Blocking calls of an SDK in a bounded set of threads, each of which can be cut off.

A thread that waits for a socket can't be cancelled. What can be done is to shut the socket down under it: the wait
ends at once. So each connection says which call it works for.

Users: bedrock, vertex.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Protocol, TypeVar

from ragwork_hooks.shares import Shares

T = TypeVar("T")

#: Calls that may wait: more would not be made within their time.
MAX_WAITING: Final = 1_000


class Connection(Protocol):
    """What a call's thread waits for. It serves one call after the other."""

    def begin(self, call: "Call") -> None:
        """Work for ``call`` from now on."""

    def cut(self, call: "Call") -> None:
        """End what the thread waits for, unless the connection works for another call by now. Never blocks."""


class CancellableThreads:
    """A call for each of ``places`` at a time, with a thread for each. ``name`` begins the threads' names."""

    def __init__(self, name: str, places: Shares) -> None:
        self._executor = ThreadPoolExecutor(places.places, thread_name_prefix=name)
        self._places = places
        self._present = threading.local()
        self._lock = threading.Lock()
        self._open: set[Call] = set()

    @contextlib.asynccontextmanager
    async def call(self) -> AsyncIterator["Call"]:
        """A turn. It is given back when the call's thread is idle again, whatever happened."""
        share = await self._places.take()
        call = Call(self._executor, self._present, self._lock)
        self._open.add(call)
        try:
            yield call
        finally:
            self._open.discard(call)
            loop = asyncio.get_running_loop()
            call.end(lambda: loop.call_soon_threadsafe(share.release))

    def hold(self, connection: Connection) -> None:
        """Note, in the thread of a call, that ``connection`` works for it from now on.

        Raises ``ConnectionAbortedError`` when the call was cut off.
        """
        call: Call = self._present.call
        call.hold(connection)

    def drop(self) -> None:
        """Note, in the thread of a call, that it is done with its connection."""
        call: Call = self._present.call
        call.drop()

    async def aclose(self) -> None:
        """Cut off what still runs. Idempotent."""
        for call in tuple(self._open):
            call.abort()
        self._executor.shutdown(wait=False)


class Call:
    """One exchange with the service: one or more steps in a thread, never two at a time."""

    def __init__(self, executor: ThreadPoolExecutor, present: threading.local, lock: threading.Lock) -> None:
        self._executor = executor
        self._present = present
        self._lock = lock
        self._last: Future[Any] | None = None
        self._connection: Connection | None = None
        self._aborted = False
        self._closing: Callable[[], None] | None = None

    def close_with(self, closing: Callable[[], None]) -> None:
        """Call ``closing`` at the end, when no thread reads any more."""
        self._closing = closing

    async def run(self, work: Callable[[], T]) -> T:
        """``work()`` in a thread. Cancelling the waiter cuts the call off."""
        step = self._executor.submit(self._work, work)
        self._last = step
        try:
            return await asyncio.wrap_future(step)
        except asyncio.CancelledError:
            self.abort()
            raise

    def hold(self, connection: Connection) -> None:
        with self._lock:
            if self._aborted:
                raise ConnectionAbortedError("the call was cut off")
            connection.begin(self)
            self._connection = connection

    def drop(self) -> None:
        with self._lock:
            self._connection = None

    def abort(self) -> None:
        """End what the thread waits for, and let it begin nothing more."""
        with self._lock:
            self._aborted = True
            if self._connection is not None:
                self._connection.cut(self)

    def end(self, then: Callable[[], object]) -> None:
        """Call ``then`` once the thread is idle, perhaps in that thread."""

        def idle(_step: Future[Any] | None = None) -> None:
            if self._closing is not None:
                with contextlib.suppress(Exception):
                    self._closing()
            with contextlib.suppress(RuntimeError):  # the loop may be closed by then
                then()

        if self._last is None:
            idle()
        else:
            self._last.add_done_callback(idle)

    def _work(self, work: Callable[[], T]) -> T:
        self._present.call = self
        try:
            return work()
        finally:
            self._present.call = None


def shut_down(sock: socket.socket) -> None:
    """End whatever a thread waits for on ``sock``."""
    with contextlib.suppress(OSError):
        # Not the TLS socket's own method: that one touches state the reading thread uses.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
