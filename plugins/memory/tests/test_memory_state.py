"""In-process state keeps the contract, exactly and within bounded memory."""

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_hooks.storage import Bucket
from ragwork_memory.state import QUEUE_SIZE, SWEEP_EVERY, InMemoryState
from ragwork_testkit.state import ExactBuckets, StateContract, Wait


class ManualClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class TestInMemoryState(StateContract):
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def state(self, clock: ManualClock) -> InMemoryState:
        return InMemoryState(clock)

    @pytest.fixture
    def wait(self, clock: ManualClock) -> Wait:
        async def move(seconds: float) -> None:
            clock.now += seconds

        return move


RATES = st.floats(1e-6, 1e6)
BURSTS = st.integers(1, 50) | st.floats(0.01, 1e6)


@given(
    sizes=st.lists(st.tuples(RATES, BURSTS), min_size=1, max_size=3),
    steps=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1.1)), max_size=40),
)
def test_draws_agree_with_exact_fractions(
    sizes: list[tuple[float, float]], steps: list[tuple[float, float]]
) -> None:
    """Pauses and costs are parts of what the first bucket takes to fill, and of what it holds."""
    buckets = [Bucket(key=str(n), rate=rate, burst=burst) for n, (rate, burst) in enumerate(sizes)]
    first = buckets[0]
    clock, judge = ManualClock(), ExactBuckets()
    clock.now = 0.0
    state = InMemoryState(clock)

    async def play() -> None:
        now_us = 0
        for pause, part in steps:
            now_us += int(pause * first.burst / first.rate * 1e6)
            clock.now = now_us / 1e6
            cost = part * first.burst
            draw = await state.take("t", buckets, cost)
            judge.decide(buckets, cost, now_us, draw)

    asyncio.run(play())


@given(
    rate=st.floats(0.01, 1000),
    burst=st.integers(1, 50),
    steps=st.lists(st.tuples(st.floats(0, 20), st.integers(1, 5)), max_size=60),
)
def test_over_any_time_no_more_than_burst_and_rate_is_admitted(
    rate: float, burst: int, steps: list[tuple[float, int]]
) -> None:
    clock = ManualClock()
    state = InMemoryState(clock)
    bucket = [Bucket(key="b", rate=rate, burst=burst)]
    admitted: list[tuple[float, int]] = []

    async def play() -> None:
        for gap, cost in steps:
            clock.now += gap
            wait = (await state.take("t", bucket, cost)).wait_s
            if wait == 0.0:
                admitted.append((clock.now, cost))
            elif math.isfinite(wait):
                # The named wait is enough, and not more than enough.
                clock.now += wait * 0.99
                if wait > 0.001:
                    assert (await state.take("t", bucket, cost)).wait_s > 0.0
                clock.now += wait * 0.01
                assert (await state.take("t", bucket, cost)).wait_s == 0.0
                admitted.append((clock.now, cost))

    asyncio.run(play())
    for first in range(len(admitted)):
        total = 0
        for at, cost in admitted[first:]:
            total += cost
            assert total <= burst + rate * (at - admitted[first][0]) + 1e-6


async def test_what_expired_is_swept_from_memory() -> None:
    clock = ManualClock()
    state = InMemoryState(clock)
    for n in range(3 * SWEEP_EVERY):
        clock.now += 0.01
        await state.put("t", str(n), b"x", 1.0)
        await state.increment("t", str(n), ttl_s=1.0)
        await state.take("t", [Bucket(key=str(n), rate=10, burst=5)], 1)
        await state.lock("t", str(n), 1.0)
    held = [len(t) for t in (state._values, state._counters, state._buckets, state._locks)]
    assert max(held) <= SWEEP_EVERY + 100


async def test_a_slow_subscriber_keeps_the_newest_messages_and_costs_bounded_memory() -> None:
    state = InMemoryState()
    stream = state.subscribe("c")
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    for n in range(QUEUE_SIZE * 2):
        await state.publish("c", b"%d" % n)
    await first
    rest = [await anext(stream) for _ in range(QUEUE_SIZE - 1)]
    assert rest[-1] == b"%d" % (QUEUE_SIZE * 2 - 1)
    await stream.aclose()
    assert state._subscribers == {}
