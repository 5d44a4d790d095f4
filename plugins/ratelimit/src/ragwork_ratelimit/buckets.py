"""Token buckets of this process alone: exact, atomic without a lock, and bounded in memory."""

from collections.abc import Callable, Sequence

from ragwork_hooks.storage import Bucket, BucketDraw
from ragwork_toolkit.buckets import debt_at, draw, wait_s


class LocalBuckets:
    """At most ``size`` buckets, each kept as the tokens that were missing and when that was so.

    Rates must be above 0. When there are too many, the one that nobody asked for longest goes: of all, it
    is the most likely to be full again. ``clock`` gives seconds and never goes back. No method awaits,
    so each is atomic.
    """

    def __init__(self, clock: Callable[[], float], size: int) -> None:
        self._clock = clock
        self._size = size
        self._debts: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._debts)

    def take(self, buckets: Sequence[Bucket], cost: float) -> BucketDraw:
        """Like ``State.take``: from every bucket or from none."""
        now = self._clock()
        debts = [self._debt(bucket, now) for bucket in buckets]
        drawn = draw(buckets, debts, cost)
        for bucket, debt in zip(buckets, debts, strict=True):
            if cost and drawn.short is None:
                self._set(bucket.key, (debt + cost, now))
            elif bucket.key in self._debts:
                self._set(bucket.key, self._debts[bucket.key])
        return drawn

    def wait_s(self, bucket: Bucket, cost: float) -> float:
        """Seconds until ``cost`` tokens are there, 0.0 when they are. Takes nothing."""
        return wait_s(bucket, self._debt(bucket, self._clock()), cost)

    def owe(self, bucket: Bucket, cost: float) -> None:
        """Take for what already happened, on credit if need be: at most another burst is owed."""
        now = self._clock()
        self._set(bucket.key, (min(self._debt(bucket, now) + cost, 2 * bucket.burst), now))

    def _debt(self, bucket: Bucket, now: float) -> float:
        debt, since = self._debts.get(bucket.key, (0.0, now))
        return debt_at(bucket, debt, since, now)

    def _set(self, key: str, debt_since: tuple[float, float]) -> None:
        # Set anew, so that the order of the dictionary is the order of use.
        self._debts.pop(key, None)
        self._debts[key] = debt_since
        if len(self._debts) > self._size:
            del self._debts[next(iter(self._debts))]
