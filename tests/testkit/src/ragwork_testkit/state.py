"""The contract of ``ragwork_hooks.storage.State``: every implementation passes it.

Subclass ``StateContract`` and define the fixtures ``state`` and ``wait``: a coroutine function that lets
the given seconds pass on the store's own clock, by moving it where it is injected, else by sleeping.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from fractions import Fraction
from typing import TypeAlias

import attrs
import pytest
from ragwork_hooks.storage import Bucket, BucketDraw, SharedState

Wait: TypeAlias = Callable[[float], Awaitable[None]]


@attrs.define
class ExactBuckets:
    """GCRA by the textbook, in exact fractions: the judge of stores that count in floats.

    A bucket is the time at which it will be full. Times are whole microseconds.
    """

    full_at: dict[str, Fraction] = attrs.field(factory=dict)

    def lateness(self, bucket: Bucket, cost: float, now_us: int) -> Fraction:
        """Seconds by which a draw of ``cost`` comes too early; it may be taken at 0 or below."""
        full_at = self.full_at.get(bucket.key, Fraction(0))
        at = max(full_at, Fraction(now_us, 10**6)) + Fraction(cost) / Fraction(bucket.rate)
        return at - Fraction(now_us, 10**6) - Fraction(bucket.burst) / Fraction(bucket.rate)

    def take(self, buckets: Sequence[Bucket], cost: float, now_us: int) -> None:
        """BucketDraw from all, whether or not there is enough."""
        for bucket in buckets:
            full_at = max(self.full_at.get(bucket.key, Fraction(0)), Fraction(now_us, 10**6))
            self.full_at[bucket.key] = full_at + Fraction(cost) / Fraction(bucket.rate)

    def decide(self, buckets: Sequence[Bucket], cost: float, now_us: int, draw: BucketDraw) -> None:
        """Hold ``draw`` against the exact answer, and follow it."""
        late = [self.lateness(bucket, cost, now_us) for bucket in buckets]
        # What floats may lose of each bucket's burst, as time.
        slack = [Fraction(b.burst) / Fraction(b.rate) / 10**11 for b in buckets]
        if draw.wait_s == 0.0:
            assert all(by <= loss for by, loss in zip(late, slack, strict=True)), "taken too early"
            self.take(buckets, cost, now_us)
        else:
            assert any(by > -loss for by, loss in zip(late, slack, strict=True)), "refused without need"
            self._judge_refusal(buckets, cost, late, slack, draw)
        for bucket, left in zip(buckets, draw.remaining, strict=True):
            debt = (self.full_at.get(bucket.key, Fraction(0)) - Fraction(now_us, 10**6)) * Fraction(
                bucket.rate
            )
            assert left == pytest.approx(
                bucket.burst - float(max(debt, Fraction(0))), abs=bucket.burst * 1e-9
            )

    def _judge_refusal(
        self,
        buckets: Sequence[Bucket],
        cost: float,
        late: Sequence[Fraction],
        slack: Sequence[Fraction],
        draw: BucketDraw,
    ) -> None:
        assert draw.short is not None
        if math.isinf(draw.wait_s):
            assert cost > buckets[draw.short].burst
            return
        longest = max(late)
        assert draw.wait_s >= longest - max(slack), "the wait does not suffice"
        assert draw.wait_s <= longest + max(slack) + Fraction(3, 10**6), "the wait is too long"
        assert late[draw.short] >= longest - max(slack) - Fraction(3, 10**6)


class StateContract:
    """Times are some tenths of a second, so that a store with a real clock passes quickly, too."""

    async def test_a_counter_adds_up_under_concurrency(self, state: SharedState) -> None:
        seen = await asyncio.gather(*(state.increment("t1", "n") for _ in range(50)))
        assert sorted(seen) == list(range(1, 51))
        assert await state.increment("t1", "n", by=5) == 55

    async def test_a_counters_time_to_live_counts_from_its_creation(
        self, state: SharedState, wait: Wait
    ) -> None:
        assert await state.increment("t1", "n", ttl_s=0.4) == 1
        await wait(0.25)
        assert await state.increment("t1", "n", ttl_s=0.4) == 2
        await wait(0.25)
        assert await state.increment("t1", "n", ttl_s=0.4) == 1

    async def test_a_counter_that_came_back_to_zero_keeps_its_end(
        self, state: SharedState, wait: Wait
    ) -> None:
        await state.increment("t1", "n", ttl_s=0.4)
        assert await state.increment("t1", "n", by=-1, ttl_s=0.4) == 0
        await wait(0.25)
        assert await state.increment("t1", "n", ttl_s=0.4) == 1
        await wait(0.25)
        assert await state.increment("t1", "n", ttl_s=0.4) == 1

    async def test_a_bucket_gives_its_burst_and_then_its_rate(self, state: SharedState, wait: Wait) -> None:
        bucket = [Bucket(key="b", rate=4, burst=3)]
        draws = [await state.take("t1", bucket, 1) for _ in range(5)]
        assert [draw.wait_s for draw in draws[:3]] == [0.0, 0.0, 0.0]
        assert [draw.short for draw in draws] == [None, None, None, 0, 0]
        assert [draw.remaining[0] for draw in draws[:3]] == pytest.approx([2.0, 1.0, 0.0], abs=0.5)
        assert 0.0 < draws[3].wait_s <= 0.2501
        # A refusal costs nothing, and the wait it names suffices.
        await wait(draws[4].wait_s)
        assert (await state.take("t1", bucket, 1)).wait_s == 0.0
        assert (await state.take("t1", bucket, 1)).wait_s > 0.0

    async def test_a_bucket_never_holds_more_than_its_burst(self, state: SharedState, wait: Wait) -> None:
        bucket = [Bucket(key="b", rate=10, burst=2)]
        assert (await state.take("t1", bucket, 2)).wait_s == 0.0
        await wait(0.4)
        assert (await state.take("t1", bucket, 2)).wait_s == 0.0
        assert (await state.take("t1", bucket, 1)).wait_s > 0.0

    async def test_a_cost_above_a_burst_can_never_be_met(self, state: SharedState) -> None:
        wide, narrow = Bucket(key="wide", rate=10, burst=9), Bucket(key="narrow", rate=10, burst=2)
        draw = await state.take("t1", [wide, narrow], 3)
        assert draw == BucketDraw(wait_s=math.inf, short=1, remaining=(9.0, 2.0))
        assert (await state.take("t1", [wide, narrow], 2)).wait_s == 0.0

    async def test_a_bucket_that_nothing_flows_into_gives_nothing(self, state: SharedState) -> None:
        for rate, burst in ((0, 5), (-1, 5), (5, 0), (5, -1)):
            draw = await state.take("t1", [Bucket(key="b", rate=rate, burst=burst)], 1)
            assert draw == BucketDraw(wait_s=math.inf, short=0, remaining=(0.0,))

    async def test_a_draw_of_nothing_tells_what_is_left(self, state: SharedState) -> None:
        bucket = Bucket(key="b", rate=0.01, burst=5)
        assert await state.take("t1", [bucket], 0) == BucketDraw(wait_s=0.0, short=None, remaining=(5.0,))
        await state.take("t1", [bucket], 5)
        draw = await state.take("t1", [bucket], 0)
        assert draw.wait_s == 0.0
        assert draw.remaining == pytest.approx((0.0,), abs=0.1)
        assert await state.take("t1", [], 1) == BucketDraw(wait_s=0.0, short=None, remaining=())

    @pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
    async def test_what_is_no_number_is_refused(self, state: SharedState, number: float) -> None:
        for rate, burst, cost in ((number, 1, 1), (1, number, 1), (1, 1, number)):
            with pytest.raises(ValueError, match=r"no (number|cost)"):
                await state.take("t1", [Bucket(key="b", rate=rate, burst=burst)], cost)
        with pytest.raises(ValueError, match="no cost"):
            await state.take("t1", [Bucket(key="b", rate=1, burst=1)], -1)

    async def test_a_bucket_may_not_be_named_twice(self, state: SharedState) -> None:
        with pytest.raises(ValueError, match="twice"):
            await state.take("t1", [Bucket(key="b", rate=1, burst=1)] * 2, 1)

    async def test_all_buckets_are_charged_or_none(self, state: SharedState, wait: Wait) -> None:
        key, tenant = Bucket(key="key", rate=0.01, burst=9), Bucket(key="tenant", rate=4, burst=2)
        assert (await state.take("t1", [key, tenant], 2)).wait_s == 0.0
        refused = await state.take("t1", [key, tenant], 2)
        assert refused.short == 1
        assert 0.0 < refused.wait_s <= 0.5001
        assert refused.remaining[0] == pytest.approx(7.0, abs=0.1)
        await wait(refused.wait_s)
        draw = await state.take("t1", [key, tenant], 2)
        assert draw.wait_s == 0.0
        assert draw.remaining[0] == pytest.approx(5.0, abs=0.1)

    async def test_the_bucket_that_waits_longest_is_the_short_one(self, state: SharedState) -> None:
        slow, quick = Bucket(key="slow", rate=0.1, burst=1), Bucket(key="quick", rate=10, burst=1)
        assert (await state.take("t1", [quick, slow], 1)).short is None
        assert (await state.take("t1", [quick, slow], 1)).short == 1
        assert (await state.take("t1", [slow, quick], 1)).short == 0

    async def test_a_lowered_burst_is_not_owed_more_than_itself(self, state: SharedState, wait: Wait) -> None:
        await state.take("t1", [Bucket(key="b", rate=4, burst=100)], 100)
        lowered = [Bucket(key="b", rate=4, burst=1)]
        draw = await state.take("t1", lowered, 1)
        assert 0.0 < draw.wait_s <= 0.2501
        await wait(draw.wait_s)
        assert (await state.take("t1", lowered, 1)).wait_s == 0.0

    async def test_concurrent_draws_never_exceed_the_burst(self, state: SharedState) -> None:
        bucket = [Bucket(key="b", rate=0.01, burst=20)]
        draws = await asyncio.gather(*(state.take("t1", bucket, 1) for _ in range(100)))
        assert [draw.wait_s for draw in draws].count(0.0) == 20

    async def test_a_value_expires(self, state: SharedState, wait: Wait) -> None:
        await state.put("t1", "v", b"\x00\xff", 0.3)
        assert await state.get("t1", "v") == b"\x00\xff"
        await state.put("t1", "v", b"", 0.3)
        assert await state.get("t1", "v") == b""
        await wait(0.4)
        assert await state.get("t1", "v") is None
        assert await state.get("t1", "never set") is None

    async def test_of_many_only_one_puts_once(self, state: SharedState, wait: Wait) -> None:
        won = await asyncio.gather(*(state.put_once("t1", "v", b"%d" % n, 1.0) for n in range(20)))
        assert won.count(True) == 1
        assert await state.get("t1", "v") == b"%d" % won.index(True)
        await wait(1.1)
        assert await state.put_once("t1", "v", b"again", 0.3)

    async def test_a_one_time_value_is_given_out_once(self, state: SharedState, wait: Wait) -> None:
        await state.put("t1", "v", b"secret", 30)
        given = await asyncio.gather(*(state.pop("t1", "v") for _ in range(20)))
        assert [value for value in given if value is not None] == [b"secret"]
        await state.put("t1", "v", b"late", 0.3)
        await wait(0.4)
        assert await state.pop("t1", "v") is None

    async def test_a_lock_has_one_holder_and_its_epoch_grows(self, state: SharedState, wait: Wait) -> None:
        taken = await asyncio.gather(*(state.lock("t1", "l", 0.3) for _ in range(10)))
        (first,) = (epoch for epoch in taken if epoch is not None)
        await wait(0.4)
        second = await state.lock("t1", "l", 0.3)
        assert second is not None
        assert second > first
        assert not await state.unlock("t1", "l", first)
        assert await state.lock("t1", "l", 0.3) is None
        assert await state.unlock("t1", "l", second)
        third = await state.lock("t1", "l", 0.3)
        assert third is not None
        assert third > second

    async def test_scopes_and_keys_do_not_mix(self, state: SharedState) -> None:
        await state.put("t1", "a", b"1", 5)
        await state.put("t1:a", "", b"2", 5)
        await state.put("t", "1:a", b"3", 5)
        assert await state.get("t2", "a") is None
        assert await state.get("t1", "a") == b"1"
        assert await state.increment("t2", "n") == await state.increment("t1", "n") == 1
        for scope in ("t1", "t2", "", "{t1}", "t1}"):
            assert (await state.take(scope, [Bucket(key="b", rate=0.01, burst=1)], 1)).wait_s == 0.0

    async def test_a_message_reaches_every_subscriber_of_its_channel(self, state: SharedState) -> None:
        async def first(channel: str) -> bytes:
            return await anext(state.subscribe(channel))

        waiting = [asyncio.create_task(first("c")) for _ in range(3)]
        other = asyncio.create_task(first("other"))
        async with asyncio.timeout(5):
            while not all(task.done() for task in waiting):
                await state.publish("c", b"hello")
                await asyncio.sleep(0.01)
        assert [task.result() for task in waiting] == [b"hello"] * 3
        assert not other.done()
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
