"""Blocking calls of the search SDK in a bounded set of threads, each of which can be cut off.

A thread that waits for a socket can't be cancelled. What can be done is to shut the socket down under
it: the wait ends at once. So each call gets a line of its own, which has one connection, and knows it.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

import attrs
from ragwork_hooks.shares import Shares

T = TypeVar("T")

#: Calls that may wait: more would not be made within their time.
MAX_WAITING: Final = 1_000


@attrs.frozen
class Target:
    """Where a line leads, and as whom: ``key`` of an ``Identity``."""

    endpoint: str
    identity: str


class Line(Protocol):
    """A client of the service for one call at a time. All but ``cut`` belongs in the call's thread."""

    @property
    def target(self) -> Target: ...

    def search(self, request: Mapping[str, object], timeout_s: float) -> Mapping[str, object]:
        """One page, as the JSON form of the service's answer. Raises what the SDK raises."""

    def open(self) -> None:
        """Undo an earlier ``cut``."""

    def cut(self) -> None:
        """End what the thread waits for. The line can be opened again."""

    def close(self) -> None: ...


class Lines:
    """A call for each of ``places`` at a time, with a thread for each."""

    def __init__(self, places: Shares) -> None:
        self._places = places
        self._executor = ThreadPoolExecutor(places.places, thread_name_prefix="vertex")
        self._lock = threading.Lock()
        self._idle: list[Line] = []
        self._calls: set[Call] = set()

    async def run(self, work: "Callable[[Call], T]") -> T:
        """``work(call)`` in a thread. Cancelling the waiter cuts the call off; its place is free again
        when the thread is idle.
        """
        share = await self._places.take()
        loop, call = asyncio.get_running_loop(), Call()
        self._calls.add(call)

        def idle() -> None:
            self._calls.discard(call)
            share.release()

        def done(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop may be closed by then
                loop.call_soon_threadsafe(idle)

        step = self._executor.submit(work, call)
        step.add_done_callback(done)
        try:
            return await asyncio.wrap_future(step)
        except asyncio.CancelledError:
            call.cut()
            raise

    @contextlib.contextmanager
    def line(self, call: "Call", target: Target, make: Callable[[], Line]) -> Iterator[Line]:
        """A line to ``target`` for ``call``, an idle one if there is one. To be used in a thread."""
        line = self._take(target) or make()
        try:
            call.hold(line)
            yield line
        finally:
            call.drop()
            self._give_back(line)

    async def aclose(self) -> None:
        """Cut off what still runs. Idempotent."""
        for call in tuple(self._calls):
            call.cut()
        self._executor.shutdown(wait=False)
        with self._lock:
            idle, self._idle = self._idle, []
        for line in idle:
            line.close()

    def _take(self, target: Target) -> Line | None:
        with self._lock:
            for number in reversed(range(len(self._idle))):
                if self._idle[number].target == target:
                    return self._idle.pop(number)
        return None

    def _give_back(self, line: Line) -> None:
        with self._lock:
            self._idle.append(line)
            surplus = self._idle.pop(0) if len(self._idle) > self._places.places else None
        if surplus is not None:
            surplus.close()


class Call:
    """One exchange with the service."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line: Line | None = None
        self._cut = False

    def hold(self, line: Line) -> None:
        with self._lock:
            if self._cut:
                raise ConnectionAbortedError("the call was cut off")
            line.open()
            self._line = line

    def drop(self) -> None:
        with self._lock:
            self._line = None

    def cut(self) -> None:
        with self._lock:
            self._cut = True
            if self._line is not None:
                self._line.cut()
