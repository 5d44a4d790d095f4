"""Clients of the search SDK: each call has one of its own, with one connection that it knows, so that the call can be
cut off.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import attrs
from ragwork_hooks.shares import Shares
from ragwork_toolkit.vendor.cancellable_threads import CancellableThreads, Connection


@attrs.frozen
class SearchTarget:
    """Where a client leads, and as whom: ``key`` of a ``GoogleIdentity``."""

    endpoint: str
    identity: str


class SearchClient(Connection, Protocol):
    """A client of the service for one call at a time. All but ``cut`` belongs in the call's thread."""

    @property
    def target(self) -> SearchTarget: ...

    def search(self, request: Mapping[str, object], timeout_s: float) -> Mapping[str, object]:
        """One page, as the JSON form of the service's answer. Raises what the SDK raises."""

    def close(self) -> None: ...


class SearchClientPool(CancellableThreads):
    """A call for each of ``places`` at a time, with a thread for each."""

    def __init__(self, places: Shares) -> None:
        super().__init__("vertex", places)
        self._idle: list[SearchClient] = []

    @contextlib.contextmanager
    def client(self, target: SearchTarget, make: Callable[[], SearchClient]) -> Iterator[SearchClient]:
        """A client to ``target``, an idle one if there is one. To be used in the thread of a call."""
        client = self._take(target) or make()
        try:
            self.hold(client)
            yield client
        finally:
            self.drop()
            self._give_back(client)

    async def aclose(self) -> None:
        """Cut off what still runs. Idempotent."""
        await super().aclose()
        with self._lock:
            idle, self._idle = self._idle, []
        for client in idle:
            client.close()

    def _take(self, target: SearchTarget) -> SearchClient | None:
        with self._lock:
            for number in reversed(range(len(self._idle))):
                if self._idle[number].target == target:
                    return self._idle.pop(number)
        return None

    def _give_back(self, client: SearchClient) -> None:
        with self._lock:
            self._idle.append(client)
            surplus = self._idle.pop(0) if len(self._idle) > self._places.places else None
        if surplus is not None:
            surplus.close()
