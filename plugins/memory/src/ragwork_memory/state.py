"""Shared state in this process: what Redis does for many processes, for one."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TypeAlias, TypeVar

import attrs
from ragwork_hooks.storage import Bucket, BucketDraw
from ragwork_toolkit.buckets import capacity, debt_at, draw

SWEEP_EVERY = 4096
QUEUE_SIZE = 256
#: A clock in floating seconds may lose this much; waits are longer by it, so that they always suffice.
_GRAIN_S = 1e-6

T = TypeVar("T")
Key: TypeAlias = tuple[str, str]


class InMemoryState:
    """Implements ``ragwork_hooks.storage.State`` for one process and one event loop.

    Entries that expired are never seen and are swept as writes go on, so memory is bound by what lives.
    ``clock`` gives seconds and never goes back. Every method runs without awaiting: each is atomic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counters: dict[Key, tuple[int, float]] = {}
        self._buckets: dict[Key, tuple[tuple[float, float], float]] = {}
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

    async def take(self, scope: str, buckets: Sequence[Bucket], cost: float) -> BucketDraw:
        """See ``State``. A bucket is kept as its debt, the tokens that are missing, and when that was so: GCRA
        with the debt in tokens instead of time. Raises ``ValueError`` for a bucket named twice or a number
        that is none.
        """
        _check(buckets, cost)
        now = self._now_after_write()
        debts = [self._debt(scope, bucket, now) for bucket in buckets]
        drawn = draw(buckets, debts, cost)
        if drawn.short is not None:
            return attrs.evolve(drawn, wait_s=drawn.wait_s + _GRAIN_S)
        if cost:
            for bucket, debt in zip(buckets, debts, strict=True):
                self._store(scope, bucket, debt + cost, now)
        return drawn

    def _debt(self, scope: str, bucket: Bucket, now: float) -> float:
        (held, at), _ = self._buckets.get((scope, bucket.key), ((0.0, now), now))
        debt, full = debt_at(bucket, held, at, now), capacity(bucket)
        if debt > full:
            # The burst was lowered: nobody owes more than a bucket, from here on.
            debt = full
            self._store(scope, bucket, debt, now)
        return debt

    def _store(self, scope: str, bucket: Bucket, debt: float, now: float) -> None:
        full_at = now + debt / bucket.rate if debt else now
        self._buckets[scope, bucket.key] = ((debt, now), full_at)

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


def _check(buckets: Sequence[Bucket], cost: float) -> None:
    if not (math.isfinite(cost) and cost >= 0):
        raise ValueError(f"{cost!r} is no cost")
    if len({bucket.key for bucket in buckets}) < len(buckets):
        raise ValueError("a bucket is named twice")
    for bucket in buckets:
        if not (math.isfinite(bucket.rate) and math.isfinite(bucket.burst)):
            raise ValueError(f"bucket {bucket.key!r} has a rate or burst that is no number")


def _sweep(table: dict[Key, tuple[T, float]], now: float) -> None:
    for key in [key for key, (_, ends) in table.items() if ends <= now]:
        del table[key]
