"""Token buckets of this process alone: exact, atomic without a lock, and bounded in memory."""

import math
from collections.abc import Callable, Sequence
from typing import Final

from ragwork_hooks.storage import Bucket, Draw

#: What sums of the same tokens may differ by, as a part of the burst.
_SLACK: Final = 1e-12


class LocalBuckets:
    """At most ``size`` buckets, each kept as the tokens that were missing and when that was so.

    Rates must be above 0. When there are too many, the one that nobody asked for longest goes: of all, it
    is the most likely to be full again. ``clock`` gives seconds and never goes back. No method awaits,
    so each is atomic.
    """

    def __init__(self, clock: Callable[[], float], size: int) -> None:
        self._clock = clock
        self._size = size
        self._missing: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._missing)

    def take(self, buckets: Sequence[Bucket], cost: float) -> Draw:
        """Like ``State.take``: from every bucket or from none."""
        now = self._clock()
        missing = [self._missing_now(bucket, now) for bucket in buckets]
        waits = [_wait_s(bucket, lacks, cost) for bucket, lacks in zip(buckets, missing, strict=True)]
        wait = max(waits)
        drawn = 0.0 if wait else cost
        for bucket, lacks in zip(buckets, missing, strict=True):
            if drawn:
                self._set(bucket.key, (lacks + drawn, now))
            elif bucket.key in self._missing:
                self._set(bucket.key, self._missing[bucket.key])
        return Draw(
            wait_s=wait,
            short=waits.index(wait) if wait else None,
            remaining=tuple(
                max(0.0, bucket.burst - lacks - drawn) for bucket, lacks in zip(buckets, missing, strict=True)
            ),
        )

    def wait_s(self, bucket: Bucket, cost: float) -> float:
        """Seconds until ``cost`` tokens are there, 0.0 when they are. Takes nothing."""
        return _wait_s(bucket, self._missing_now(bucket, self._clock()), cost)

    def owe(self, bucket: Bucket, cost: float) -> None:
        """Take for what already happened, on credit if need be: at most another burst is owed."""
        now = self._clock()
        self._set(bucket.key, (min(self._missing_now(bucket, now) + cost, 2 * bucket.burst), now))

    def _missing_now(self, bucket: Bucket, now: float) -> float:
        missing, since = self._missing.get(bucket.key, (0.0, now))
        return max(0.0, missing - (now - since) * bucket.rate)

    def _set(self, key: str, missing_since: tuple[float, float]) -> None:
        # Set anew, so that the order of the dictionary is the order of use.
        self._missing.pop(key, None)
        self._missing[key] = missing_since
        if len(self._missing) > self._size:
            del self._missing[next(iter(self._missing))]


def _wait_s(bucket: Bucket, missing: float, cost: float) -> float:
    if cost > bucket.burst:
        return math.inf
    short = missing + cost - bucket.burst
    return short / bucket.rate if short > bucket.burst * _SLACK else 0.0
