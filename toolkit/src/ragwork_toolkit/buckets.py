"""The arithmetic of token buckets. A bucket is kept as its debt: the tokens that are missing, and since when.

Users: memory, ratelimit.
"""

import math
from collections.abc import Sequence
from typing import Final

from ragwork_hooks.storage import Bucket, BucketDraw

#: What sums of the same tokens may differ by, as a part of the burst.
_SLACK: Final = 1e-12


def capacity(bucket: Bucket) -> float:
    """Tokens that it holds when full: what nothing flows into holds nothing."""
    return max(bucket.burst, 0.0) if bucket.rate > 0 else 0.0


def debt_at(bucket: Bucket, debt: float, since: float, now: float) -> float:
    """What is missing at ``now`` of a bucket that missed ``debt`` at ``since``, both in seconds."""
    return max(debt - (now - since) * bucket.rate, 0.0)


def wait_s(bucket: Bucket, debt: float, cost: float) -> float:
    """Seconds until ``cost`` fits beside ``debt``: 0.0 when it does now, ``inf`` when it never will."""
    full = capacity(bucket)
    if cost > full:
        return math.inf
    short = debt + cost - full
    return short / bucket.rate if short > full * _SLACK else 0.0


def draw(buckets: Sequence[Bucket], debts: Sequence[float], cost: float) -> BucketDraw:
    """What becomes of a draw of ``cost`` from every bucket or none; when it is taken, each owes ``cost`` more."""
    pairs = list(zip(buckets, debts, strict=True))
    waits = [wait_s(bucket, debt, cost) for bucket, debt in pairs]
    wait = max(waits, default=0.0)
    taken = 0.0 if wait else cost
    return BucketDraw(
        wait_s=wait,
        short=waits.index(wait) if wait else None,
        remaining=tuple(max(capacity(bucket) - debt - taken, 0.0) for bucket, debt in pairs),
    )
