"""The buckets of one process draw like exact fractions do, and stay few."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ragwork_hooks.storage import Bucket
from ragwork_ratelimit.buckets import LocalBuckets
from ragwork_testkit.state import ExactBuckets

RATES = st.floats(1e-6, 1e6)
BURSTS = st.integers(1, 50) | st.integers(1, 1_000_000)


class Microseconds:
    def __init__(self):
        self.us = 0

    def __call__(self):
        return self.us / 1e6


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    sizes=st.lists(st.tuples(RATES, BURSTS), min_size=1, max_size=3),
    steps=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1) | st.just(-1.0)), max_size=30),
)
def test_draws_agree_with_exact_fractions(sizes, steps):
    """Pauses and costs are parts of what the first bucket takes to fill and holds; -1 is burst + 1."""
    buckets = [Bucket(key=str(n), rate=rate, burst=float(burst)) for n, (rate, burst) in enumerate(sizes)]
    first, judge, clock = buckets[0], ExactBuckets(), Microseconds()
    local = LocalBuckets(clock, 10)
    for pause, part in steps:
        clock.us += int(pause * first.burst / first.rate * 1e6)
        cost = part * first.burst if part >= 0 else first.burst + 1
        judge.decide(buckets, cost, clock.us, local.take(buckets, cost))


def test_a_refusal_takes_from_no_bucket(clock):
    local = LocalBuckets(clock, 10)
    wide, narrow = Bucket(key="wide", rate=1, burst=10), Bucket(key="narrow", rate=1, burst=2)
    assert local.take([wide, narrow], 2).short is None
    refused = local.take([wide, narrow], 1)
    assert (refused.wait_s, refused.short, refused.remaining) == (1.0, 1, (8.0, 0.0))
    assert local.take([narrow, wide], 1).short == 0
    assert local.take([wide], 8).short is None
    assert local.take([wide], 1).short == 0


def test_the_named_wait_suffices_and_nothing_less_does(clock):
    local, bucket = LocalBuckets(clock, 10), [Bucket(key="b", rate=3, burst=5)]
    local.take(bucket, 5)
    wait = local.take(bucket, 3).wait_s
    assert wait == pytest.approx(1.0)
    clock.pass_s(wait - 0.001)
    assert local.take(bucket, 3).wait_s == pytest.approx(0.001)
    clock.pass_s(0.001)
    assert local.take(bucket, 3).wait_s == 0.0


def test_a_cost_above_the_burst_never_comes(clock):
    assert math.isinf(LocalBuckets(clock, 10).take([Bucket(key="b", rate=9, burst=2)], 3).wait_s)


def test_memory_is_bounded_and_who_keeps_asking_is_not_forgotten(clock):
    local = LocalBuckets(clock, 50)
    busy = Bucket(key="busy", rate=0.001, burst=3)
    taken = 0
    for number in range(10_000):
        local.take([Bucket(key=f"b{number}", rate=1, burst=1)], 1)
        if number % 40 == 0:
            taken += local.take([busy], 1).wait_s == 0.0
    assert (len(local), taken) == (50, 3)


def test_what_is_owed_is_bounded_and_is_paid_back(clock):
    local, bucket = LocalBuckets(clock, 10), Bucket(key="b", rate=2, burst=10)
    for _ in range(9):
        local.owe(bucket, 1)
    assert local.wait_s(bucket, 1) == 0.0
    for _ in range(1000):
        local.owe(bucket, 1)
    assert local.wait_s(bucket, 1) == pytest.approx(5.5)
    clock.pass_s(5.5)
    assert local.wait_s(bucket, 1) == 0.0
