"""Token buckets: the wait that is named suffices, and a draw takes from all buckets or from none."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from ragwork_hooks.storage import Bucket
from ragwork_toolkit.buckets import capacity, debt_at, draw, wait_s

BUCKETS = st.builds(Bucket, key=st.just("b"), rate=st.floats(1e-3, 1e6), burst=st.floats(1e-2, 1e6))
SHARES = st.floats(0, 1)


@given(bucket=BUCKETS, owed=SHARES, asked=SHARES)
def test_the_named_wait_suffices_and_hardly_less_does(bucket: Bucket, owed: float, asked: float) -> None:
    debt, cost = owed * bucket.burst, asked * bucket.burst
    wait = wait_s(bucket, debt, cost)
    assert wait_s(bucket, debt_at(bucket, debt, 0.0, wait), cost) == 0.0
    if wait:
        less = debt_at(bucket, debt, 0.0, wait - max(wait, bucket.burst / bucket.rate) * 1e-6)
        assert wait_s(bucket, less, cost) > 0.0


@given(debts=st.tuples(SHARES, SHARES), cost=st.floats(0, 2))
def test_a_draw_is_from_every_bucket_or_from_none(debts: tuple[float, float], cost: float) -> None:
    buckets = [Bucket(key="a", rate=1.0, burst=1.0), Bucket(key="b", rate=2.0, burst=1.0)]
    drawn = draw(buckets, debts, cost)
    room = min(1.0 - debt for debt in debts)
    assume(cost == room or abs(cost - room) > 1e-9)
    fits = cost <= room
    assert (drawn.short is None) is (drawn.wait_s == 0.0) is fits
    left = [1.0 - debt - (cost if fits else 0.0) for debt in debts]
    assert drawn.remaining == pytest.approx(tuple(left), abs=1e-9)
    if not fits:
        waits = [wait_s(bucket, debt, cost) for bucket, debt in zip(buckets, debts, strict=True)]
        assert (drawn.wait_s, waits[drawn.short or 0]) == (max(waits), max(waits))


def test_time_pays_debts_and_gives_no_credit() -> None:
    bucket = Bucket(key="b", rate=2.0, burst=10.0)
    assert [debt_at(bucket, 6.0, 100.0, now) for now in (100.0, 101.5, 103.0, 1e9)] == [6.0, 3.0, 0.0, 0.0]


@pytest.mark.parametrize(("rate", "burst"), [(0.0, 5.0), (-1.0, 5.0), (1.0, -5.0)])
def test_what_nothing_flows_into_holds_nothing(rate: float, burst: float) -> None:
    bucket = Bucket(key="b", rate=rate, burst=burst)
    assert capacity(bucket) == 0.0
    assert wait_s(bucket, 0.0, 1.0) == math.inf
    assert draw([bucket], [0.0], 0.0).short is None


def test_a_cost_beyond_the_burst_never_fits_and_no_bucket_refuses_nothing() -> None:
    assert wait_s(Bucket(key="b", rate=1.0, burst=2.0), 0.0, 3.0) == math.inf
    assert draw([], [], 5.0).wait_s == 0.0
