"""The contract of ``ragwork_hooks.storage.State``: every implementation passes it.

Subclass ``StateContract`` and define the fixtures ``state`` and ``wait``: a coroutine function that lets
the given seconds pass on the store's own clock, by moving it where it is injected, else by sleeping.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from ragwork_hooks.storage import State

Wait: TypeAlias = Callable[[float], Awaitable[None]]


class StateContract:
    """Times are some tenths of a second, so that a store with a real clock passes quickly, too."""

    async def test_a_counter_adds_up_under_concurrency(self, state: State) -> None:
        seen = await asyncio.gather(*(state.increment("t1", "n") for _ in range(50)))
        assert sorted(seen) == list(range(1, 51))
        assert await state.increment("t1", "n", by=5) == 55

    async def test_a_counters_time_to_live_counts_from_its_creation(self, state: State, wait: Wait) -> None:
        assert await state.increment("t1", "n", ttl_s=0.4) == 1
        await wait(0.25)
        assert await state.increment("t1", "n", ttl_s=0.4) == 2
        await wait(0.25)
        assert await state.increment("t1", "n", ttl_s=0.4) == 1

    async def test_a_counter_that_came_back_to_zero_keeps_its_end(self, state: State, wait: Wait) -> None:
        await state.increment("t1", "n", ttl_s=0.4)
        assert await state.increment("t1", "n", by=-1, ttl_s=0.4) == 0
        await wait(0.25)
        assert await state.increment("t1", "n", ttl_s=0.4) == 1
        await wait(0.25)
        assert await state.increment("t1", "n", ttl_s=0.4) == 1

    async def test_a_bucket_gives_its_burst_and_then_its_rate(self, state: State, wait: Wait) -> None:
        taken = [await state.take("t1", "b", rate=4, burst=3, cost=1) for _ in range(5)]
        assert taken[:3] == [0.0, 0.0, 0.0]
        assert 0.0 < taken[3] <= 0.25
        # A refusal costs nothing, and the wait it names suffices.
        await wait(taken[4] + 0.01)
        assert await state.take("t1", "b", rate=4, burst=3, cost=1) == 0.0
        assert await state.take("t1", "b", rate=4, burst=3, cost=1) > 0.0

    async def test_a_bucket_never_holds_more_than_its_burst(self, state: State, wait: Wait) -> None:
        await wait(1.0)
        assert await state.take("t1", "b", rate=10, burst=2, cost=2) == 0.0
        await wait(0.5)
        assert await state.take("t1", "b", rate=10, burst=2, cost=2) == 0.0
        assert await state.take("t1", "b", rate=10, burst=2, cost=1) > 0.0

    async def test_a_cost_above_the_burst_can_never_be_met(self, state: State) -> None:
        assert await state.take("t1", "b", rate=10, burst=2, cost=3) == float("inf")
        assert await state.take("t1", "b", rate=10, burst=2, cost=2) == 0.0

    async def test_concurrent_draws_never_exceed_the_burst(self, state: State) -> None:
        draws = await asyncio.gather(
            *(state.take("t1", "b", rate=0.01, burst=20, cost=1) for _ in range(100))
        )
        assert draws.count(0.0) == 20

    async def test_a_value_expires(self, state: State, wait: Wait) -> None:
        await state.put("t1", "v", b"\x00\xff", 0.3)
        assert await state.get("t1", "v") == b"\x00\xff"
        await state.put("t1", "v", b"", 0.3)
        assert await state.get("t1", "v") == b""
        await wait(0.4)
        assert await state.get("t1", "v") is None
        assert await state.get("t1", "never set") is None

    async def test_of_many_only_one_puts_once(self, state: State, wait: Wait) -> None:
        won = await asyncio.gather(*(state.put_once("t1", "v", b"%d" % n, 0.3) for n in range(20)))
        assert won.count(True) == 1
        assert await state.get("t1", "v") == b"%d" % won.index(True)
        await wait(0.4)
        assert await state.put_once("t1", "v", b"again", 0.3)

    async def test_a_one_time_value_is_given_out_once(self, state: State, wait: Wait) -> None:
        await state.put("t1", "v", b"secret", 0.3)
        given = await asyncio.gather(*(state.pop("t1", "v") for _ in range(20)))
        assert [value for value in given if value is not None] == [b"secret"]
        await state.put("t1", "v", b"late", 0.3)
        await wait(0.4)
        assert await state.pop("t1", "v") is None

    async def test_a_lock_has_one_holder_and_its_epoch_grows(self, state: State, wait: Wait) -> None:
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

    async def test_scopes_and_keys_do_not_mix(self, state: State) -> None:
        await state.put("t1", "a", b"1", 5)
        await state.put("t1:a", "", b"2", 5)
        await state.put("t", "1:a", b"3", 5)
        assert await state.get("t2", "a") is None
        assert await state.get("t1", "a") == b"1"
        assert await state.increment("t2", "n") == await state.increment("t1", "n") == 1
        assert await state.take("t1", "b", rate=0.01, burst=1, cost=1) == 0.0
        assert await state.take("t2", "b", rate=0.01, burst=1, cost=1) == 0.0

    async def test_a_message_reaches_every_subscriber_of_its_channel(self, state: State) -> None:
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
