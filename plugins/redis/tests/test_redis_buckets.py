"""The bucket script draws like exact fractions do, at any rate, and one bucket is exact over processes."""

import asyncio
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ragwork_hooks.storage import Bucket, BucketDraw
from ragwork_redis.scripts import TAKE
from ragwork_redis.state import RedisState, _rate_and_burst
from ragwork_testkit.state import ExactBuckets
from ragwork_testkit.valkey import ValkeyServer
from redis import Redis

RATES = st.floats(1e-6, 1e6)
BURSTS = st.integers(1, 50) | st.floats(0.01, 1e6)
START_US = 1_700_000_000_000_000
_OWN_TIME = "{math.floor(ARGV[#ARGV] / 1000000), ARGV[#ARGV] % 1000000}"
#: The same script with the time as one more argument, and with buckets that the server's real clock leaves alone.
TIMED = TAKE.text.replace("redis.call('TIME')", _OWN_TIME).replace("string.format('%.0f', ms)", "60000")


class Timed:
    """The script on a store whose clock stands where it is told."""

    def __init__(self, url: str) -> None:
        assert "TIME" not in TIMED
        assert TIMED.count("60000") == 1
        self._redis = Redis.from_url(url, protocol=3)
        self._script = self._redis.register_script(TIMED)
        self.tag = ""

    def fresh(self) -> None:
        self.tag = os.urandom(8).hex()

    def take(self, buckets: list[Bucket], cost: float, now_us: int) -> BucketDraw:
        numbers = [number for bucket in buckets for number in _rate_and_burst(bucket)]
        keys = [f"{{{self.tag}}}{bucket.key}" for bucket in buckets]
        wait, short, *left = self._script(keys, [repr(cost), *numbers, now_us])
        return BucketDraw(
            wait_s=float(wait) / 1e6,
            short=None if short < 0 else short,
            remaining=tuple(float(tokens) for tokens in left),
        )


@pytest.fixture(scope="module")
def timed(valkey: ValkeyServer) -> Timed:
    return Timed(valkey.url)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.tuples(RATES, BURSTS), min_size=1, max_size=3),
    steps=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1) | st.just(-1.0)), max_size=25),
)
def test_draws_agree_with_exact_fractions(
    timed: Timed, sizes: list[tuple[float, float]], steps: list[tuple[float, float]]
) -> None:
    """Pauses and costs are parts of what the first bucket takes to fill and holds; -1 is burst + 1."""
    buckets = [Bucket(key=str(n), rate=rate, burst=burst) for n, (rate, burst) in enumerate(sizes)]
    first, judge, now_us = buckets[0], ExactBuckets(), START_US
    timed.fresh()
    for pause, part in steps:
        now_us += int(pause * first.burst / first.rate * 1e6)
        cost = part * first.burst if part >= 0 else first.burst + 1
        draw = timed.take(buckets, cost, now_us)
        judge.decide(buckets, cost, now_us, draw)
        if 0.0 < draw.wait_s < 1e9:
            # The named wait suffices to the microsecond.
            now_us += round(draw.wait_s * 1e6)
            draw = timed.take(buckets, cost, now_us)
            assert draw.wait_s == 0.0
            judge.decide(buckets, cost, now_us, draw)


def test_a_million_draws_a_second_are_a_million(timed: Timed) -> None:
    """At 7 draws in 10 microseconds a bucket that counted whole microseconds would be off by a third."""
    timed.fresh()
    bucket, taken = [Bucket(key="b", rate=7e5, burst=1)], 0
    for now_us in range(START_US, START_US + 2000):
        taken += timed.take(bucket, 1, now_us).wait_s == 0.0
    assert taken == 1000  # every second microsecond holds a token of 1.43 that has room for one
    timed.fresh()
    bucket, taken = [Bucket(key="b", rate=7e5, burst=2)], 0
    for now_us in range(START_US, START_US + 2000):
        taken += timed.take(bucket, 1, now_us).wait_s == 0.0
    assert 1400 <= taken <= 1402


def test_a_clock_set_back_neither_grants_nor_starves(timed: Timed) -> None:
    timed.fresh()
    bucket = [Bucket(key="b", rate=1, burst=2)]
    assert timed.take(bucket, 2, START_US).wait_s == 0.0
    back_us = START_US - 3_600_000_000
    assert timed.take(bucket, 1, back_us).wait_s == pytest.approx(1.0, abs=1e-5)
    assert timed.take(bucket, 1, back_us + 999_000).wait_s > 0.0
    assert timed.take(bucket, 1, back_us + 1_000_010).wait_s == 0.0


_DRAWER = """
import asyncio, sys, time
from ragwork_hooks.storage import Bucket
from ragwork_redis.opening import session

async def draw() -> None:
    bucket = [Bucket(key="b", rate=float(sys.argv[2]), burst=float(sys.argv[3]))]
    draws = []
    async with session(sys.argv[1]) as state:
        await state.check()
        print("ready", flush=True)
        sys.stdin.readline()
        end = time.monotonic() + 0.5

        async def client() -> None:
            while (began := time.monotonic()) < end:
                taken = (await state.take("t", bucket, 1)).wait_s == 0.0
                draws.append((began, time.monotonic(), taken))

        await asyncio.gather(*(client() for _ in range(10)))
    print(sum(d[2] for d in draws), min(d[0] for d in draws), min(d[1] for d in draws), flush=False, end=" ")
    print(max(d[0] for d in draws), max(d[1] for d in draws))

asyncio.run(draw())
"""


def test_four_processes_draw_the_bound_and_never_more(redis_url: str) -> None:
    rate, burst = 100.0, 20.0
    command = [sys.executable, "-c", _DRAWER, redis_url, str(rate), str(burst)]
    drawers = [subprocess.Popen(command, stdin=-1, stdout=-1, text=True) for _ in range(4)]
    for drawer in drawers:
        assert drawer.stdout is not None
        assert drawer.stdout.readline() == "ready\n"
    for drawer in drawers:
        assert drawer.stdin is not None
        drawer.stdin.write("go\n")
        drawer.stdin.flush()
    # On Linux, time.monotonic is one clock for all processes.
    told = [[float(word) for word in drawer.communicate(timeout=60)[0].split()] for drawer in drawers]
    taken = sum(words[0] for words in told)
    longest = max(words[4] for words in told) - min(words[1] for words in told)
    shortest = max(words[3] for words in told) - min(words[2] for words in told)
    assert taken <= burst + rate * longest
    assert taken >= burst + rate * shortest - 1


async def test_draws_of_one_moment_are_exact(state: RedisState) -> None:
    bucket = [Bucket(key="b", rate=1e-6, burst=100)]
    draws = await asyncio.gather(*(state.take("t", bucket, 3) for _ in range(200)))
    assert sum(draw.wait_s == 0.0 for draw in draws) == 33
