"""Shared state in this process: what Redis does for many processes, for one."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import TypeAlias, TypeVar

SWEEP_EVERY = 4096
QUEUE_SIZE = 256

T = TypeVar("T")
Key: TypeAlias = tuple[str, str]


class LocalState:
    """Implements ``ragwork_hooks.storage.State`` for one process and one event loop.

    Entries that expired are never seen and are swept as writes go on, so memory is bound by what lives.
    ``clock`` gives seconds and never goes back. Every method runs without awaiting: each is atomic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counters: dict[Key, tuple[int, float]] = {}
        self._buckets: dict[Key, tuple[None, float]] = {}
        self._values: dict[Key, tuple[bytes, float]] = {}
        self._locks: dict[Key, tuple[int, float]] = {}
        self._epoch = time.time_ns()  # also grows over restarts of the process
        self._writes = 0
        self._subscribers: dict[str, set[asyncio.Queue[bytes]]] = {}

    async def increment(self, scope: str, key: str, by: int = 1, ttl_s: float | None = None) -> int:
        now = self._now_after_write()
        count, ends = self._counters.get((scope, key), (0, now))
        if ends <= now:
            count, ends = 0, float("inf") if ttl_s is None else now + ttl_s
        self._counters[scope, key] = (count + by, ends)
        return count + by

    async def take(self, scope: str, key: str, *, rate: float, burst: float, cost: float) -> float:
        """A bucket of ``burst`` tokens refilled at ``rate`` per second, kept as the time at which it will
        be full (GCRA): exact whatever the spacing of calls. ``inf`` when ``cost`` can never be met.
        """
        now = self._now_after_write()
        if cost <= 0:
            return 0.0
        if cost > burst or rate <= 0:
            return float("inf")
        full_at = max(self._buckets.get((scope, key), (None, now))[1], now) + cost / rate
        wait = full_at - now - burst / rate
        if wait > 1e-9:
            return wait
        self._buckets[scope, key] = (None, full_at)
        return 0.0

    async def put(self, scope: str, key: str, value: bytes, ttl_s: float) -> None:
        self._values[scope, key] = (value, self._now_after_write() + ttl_s)

    async def put_once(self, scope: str, key: str, value: bytes, ttl_s: float) -> bool:
        now = self._now_after_write()
        if self._values.get((scope, key), (b"", now))[1] > now:
            return False
        self._values[scope, key] = (value, now + ttl_s)
        return True

    async def get(self, scope: str, key: str) -> bytes | None:
        value, ends = self._values.get((scope, key), (b"", float("-inf")))
        return value if ends > self._clock() else None

    async def pop(self, scope: str, key: str) -> bytes | None:
        value, ends = self._values.pop((scope, key), (b"", float("-inf")))
        return value if ends > self._clock() else None

    async def lock(self, scope: str, key: str, ttl_s: float) -> int | None:
        now = self._now_after_write()
        if self._locks.get((scope, key), (0, now))[1] > now:
            return None
        self._epoch += 1
        self._locks[scope, key] = (self._epoch, now + ttl_s)
        return self._epoch

    async def unlock(self, scope: str, key: str, epoch: int) -> bool:
        held, ends = self._locks.get((scope, key), (0, float("-inf")))
        if held != epoch or ends <= self._clock():
            return False
        del self._locks[scope, key]
        return True

    async def publish(self, channel: str, message: bytes) -> None:
        """Reaches who subscribes now; who is ``QUEUE_SIZE`` messages behind loses the oldest."""
        for queue in self._subscribers.get(channel, ()):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(message)

    async def subscribe(self, channel: str) -> AsyncGenerator[bytes, None]:
        """Messages published after the first ``anext``; closing the iterator ends the subscription."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE_SIZE)
        subscribers = self._subscribers.setdefault(channel, set())
        subscribers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            subscribers.discard(queue)
            if not subscribers and self._subscribers.get(channel) is subscribers:
                del self._subscribers[channel]

    def _now_after_write(self) -> float:
        now = self._clock()
        self._writes += 1
        if self._writes % SWEEP_EVERY == 0:
            _sweep(self._counters, now)
            _sweep(self._buckets, now)
            _sweep(self._values, now)
            _sweep(self._locks, now)
        return now


def _sweep(table: dict[Key, tuple[T, float]], now: float) -> None:
    for key in [key for key, (_, ends) in table.items() if ends <= now]:
        del table[key]
