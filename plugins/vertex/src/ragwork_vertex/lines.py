"""Calls of the search SDK. Each gets a line of its own, which has one connection and knows it, so that the call can be
cut off.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import attrs
from ragwork_hooks.shares import Shares
from ragwork_toolkit.vendor.cancellable_threads import CancellableThreads, Connection


@attrs.frozen
class Target:
    """Where a line leads, and as whom: ``key`` of a ``GoogleIdentity``."""

    endpoint: str
    identity: str


class Line(Connection, Protocol):
    """A client of the service for one call at a time. All but ``cut`` belongs in the call's thread."""

    @property
    def target(self) -> Target: ...

    def search(self, request: Mapping[str, object], timeout_s: float) -> Mapping[str, object]:
        """One page, as the JSON form of the service's answer. Raises what the SDK raises."""

    def close(self) -> None: ...


class Lines(CancellableThreads):
    """A call for each of ``places`` at a time, with a thread for each."""

    def __init__(self, places: Shares) -> None:
        super().__init__("vertex", places)
        self._idle: list[Line] = []

    @contextlib.contextmanager
    def line(self, target: Target, make: Callable[[], Line]) -> Iterator[Line]:
        """A line to ``target``, an idle one if there is one. To be used in the thread of a call."""
        line = self._take(target) or make()
        try:
            self.hold(line)
            yield line
        finally:
            self.drop()
            self._give_back(line)

    async def aclose(self) -> None:
        """Cut off what still runs. Idempotent."""
        await super().aclose()
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
