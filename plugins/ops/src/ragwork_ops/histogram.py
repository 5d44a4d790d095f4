"""Latencies as counts per bucket: cheap to add to, mergeable over processes, good for percentiles."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

#: Upper bounds in milliseconds; one more bucket takes what is slower.
BOUNDS_MS: Final = (
    1, 2, 3, 5, 7.5, 10, 15, 25, 35, 50, 75, 100, 150, 250, 400, 600, 800, 1000, 1500, 2000, 3000, 5000,
    10_000, 30_000, 120_000,
)  # fmt: skip


class Histogram:
    """Counts of one series."""

    __slots__ = ("counts", "slowest_ms")

    def __init__(self, counts: Sequence[int] | None = None) -> None:
        self.counts = [0] * (len(BOUNDS_MS) + 1) if counts is None else list(counts)
        self.slowest_ms = 0.0

    def add(self, ms: float) -> None:
        self.counts[bisect_left(BOUNDS_MS, ms)] += 1
        self.slowest_ms = max(self.slowest_ms, ms)

    def merge(self, counts: Sequence[int], slowest_ms: float = 0.0) -> None:
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, counts, strict=True)]
        self.slowest_ms = max(self.slowest_ms, slowest_ms)

    @property
    def total(self) -> int:
        return sum(self.counts)

    def percentile(self, share: float) -> float | None:
        """Milliseconds that ``share`` of the values don't exceed, interpolated inside a bucket."""
        total = self.total
        if not total:
            return None
        rank, below = share * total, 0
        for index, count in enumerate(self.counts):
            if count and below + count >= rank:
                low = BOUNDS_MS[index - 1] if index else 0.0
                high = BOUNDS_MS[index] if index < len(BOUNDS_MS) else max(self.slowest_ms, low)
                return round(low + (high - low) * (rank - below) / count, 2)
            below += count
        return None
