"""Calls of the SDK, and the connections that it keeps for later (see ``connections``)."""

from typing import Protocol
from weakref import WeakSet

from ragwork_hooks.shares import Shares
from ragwork_toolkit.vendor.cancellable_threads import CancellableThreads, Connection


class KeptConnection(Connection, Protocol):
    """A connection of the SDK's pool."""

    def hang_up(self) -> None: ...


class Calls(CancellableThreads):
    """A call for each of ``places`` at a time, with a thread for each."""

    def __init__(self, places: Shares) -> None:
        super().__init__("bedrock", places)
        self._connections: WeakSet[KeptConnection] = WeakSet()

    def keep(self, connection: KeptConnection) -> None:
        """``hold`` it, and hang up when the calls are closed."""
        self.hold(connection)
        with self._lock:
            self._connections.add(connection)

    async def aclose(self) -> None:
        """Cut off what still runs, and hang up: the SDK leaves open what it keeps for later. Idempotent."""
        await super().aclose()
        with self._lock:
            for connection in self._connections:
                connection.hang_up()
