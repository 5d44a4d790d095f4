"""The contract of ``ragwork_hooks.shares.Shares``: subclass ``SharesContract`` and give it ``make``."""

import asyncio
from collections.abc import Callable

import pytest
from ragwork_hooks.shares import Share, Shares


class Refused(Exception):
    """What the kit's shares refuse with."""


class SharesContract:
    """``make(places, waiting=…, wait_s=…, most=…)`` gives shares that refuse with ``Refused``."""

    @pytest.fixture
    def make(self) -> Callable[..., Shares]:
        raise NotImplementedError("define the fixture `make`")

    async def test_idle_places_are_anybodys(self, make: Callable[..., Shares]) -> None:
        shares = make(3)
        taken = [await shares.take(tenant="a") for _ in range(3)]
        assert (shares.held, shares.waiting) == (3, 0)
        for share in taken:
            share.release()
            share.release()
        assert shares.held == 0

    async def test_who_holds_nothing_gets_the_next_place_whoever_came_before(
        self, make: Callable[..., Shares]
    ) -> None:
        for places in (1, 2, 5):
            shares, order = make(places, waiting=100), list[str]()
            held = [await shares.take(tenant="greedy") for _ in range(places)]
            tasks = [asyncio.create_task(_wait(shares, "greedy", order)) for _ in range(20)]
            await asyncio.sleep(0)
            tasks.append(asyncio.create_task(_wait(shares, "modest", order)))
            await asyncio.sleep(0)
            held[0].release()
            await _settle()
            assert order == ["modest"], f"with {places} places"
            await _end(tasks)

    async def test_two_that_hold_nothing_take_turns(self, make: Callable[..., Shares]) -> None:
        shares, order = make(1, waiting=100), list[str]()
        first = await shares.take(tenant="a")
        tasks = [asyncio.create_task(_pass(shares, who, order)) for who in "aaaaaabbb"]
        await asyncio.sleep(0)
        first.release()
        await asyncio.gather(*tasks)
        assert order == list("bababaaaa"), order

    async def test_a_tenants_own_are_served_in_order(self, make: Callable[..., Shares]) -> None:
        shares, order = make(1, waiting=100), list[str]()
        first = await shares.take(tenant="a")

        async def one(number: int) -> None:
            with await shares.take(tenant="a"):
                order.append(str(number))

        tasks = [asyncio.create_task(one(number)) for number in range(10)]
        await asyncio.sleep(0)
        first.release()
        await asyncio.gather(*tasks)
        assert order == [str(number) for number in range(10)]

    async def test_units_weigh(self, make: Callable[..., Shares]) -> None:
        shares, order = make(10, waiting=100), list[str]()
        large, small = await shares.take(7, tenant="large"), await shares.take(3, tenant="small")
        tasks = [asyncio.create_task(_wait(shares, who, order)) for who in ("large", "small")]
        await asyncio.sleep(0)
        small.shrink(2)
        await _settle()
        assert order == ["small"]
        large.release()
        await _settle()
        assert order == ["small", "large"]
        await _end(tasks)

    async def test_more_than_there_is_takes_all_there_is(self, make: Callable[..., Shares]) -> None:
        shares = make(4)
        share = await shares.take(1_000, tenant="a")
        assert share.units == 4
        share.release()

    async def test_whoever_is_next_is_not_overtaken_by_who_wants_less(
        self, make: Callable[..., Shares]
    ) -> None:
        shares, order = make(4, waiting=100), list[str]()
        held = [await shares.take(2, tenant="a") for _ in range(2)]
        big = asyncio.create_task(_wait(shares, "big", order, 4))
        await asyncio.sleep(0)
        small = asyncio.create_task(_wait(shares, "small", order, 1))
        await asyncio.sleep(0)
        held[0].release()
        await _settle()
        assert order == []
        big.cancel()  # what it stood before goes on
        await _settle()
        assert order == ["small"]
        held[1].release()
        await _end([small])
        assert (shares.held, shares.waiting) == (0, 0)

    async def test_nobody_holds_more_than_the_most_of_one(self, make: Callable[..., Shares]) -> None:
        shares = make(3, waiting=100, most=2)
        held = [await shares.take(tenant="a") for _ in range(2)]
        third = asyncio.create_task(shares.take(tenant="a"))
        await asyncio.sleep(0)
        other = await asyncio.wait_for(shares.take(tenant="b"), 1)
        assert not third.done()
        held[0].release()
        (await asyncio.wait_for(third, 1)).release()
        other.release()
        held[1].release()
        assert shares.held == 0

    async def test_when_too_many_wait_the_largest_is_refused_and_never_who_holds_nothing(
        self, make: Callable[..., Shares]
    ) -> None:
        shares, order = make(2, waiting=3), list[str]()
        held = [await shares.take(tenant="greedy") for _ in range(2)]
        greedy = [asyncio.create_task(_wait(shares, "greedy", order)) for _ in range(5)]
        await _settle()
        assert [task.done() for task in greedy] == [False, False, False, True, True]
        modest = [asyncio.create_task(_wait(shares, who, order)) for who in ("m1", "m2", "m1", "m1")]
        await _settle()
        # m1's second and third are surplus, too: the largest gives way to them, and only then m1 itself.
        assert not any(task.done() for task in modest)
        assert sum(task.done() for task in greedy) == 4
        for task in greedy:
            if task.done():
                assert isinstance(task.exception(), Refused)
        held[0].release()
        held[1].release()
        await _settle()
        assert order[:2] == ["m1", "m2"]
        await _end([*greedy, *modest])
        assert (shares.held, shares.waiting) == (0, 0)

    async def test_surplus_waits_for_a_while_and_who_holds_nothing_until_it_leaves(
        self, make: Callable[..., Shares]
    ) -> None:
        shares, order = make(1, waiting=100, wait_s=0.02), list[str]()
        held = await shares.take(tenant="greedy")
        modest = asyncio.create_task(_wait(shares, "modest", order))
        with pytest.raises(Refused):
            await asyncio.wait_for(shares.take(tenant="greedy"), 1)
        with pytest.raises(Refused):
            await asyncio.wait_for(shares.take(tenant="modest"), 1)
        assert not modest.done()
        held.release()
        await _settle()
        assert order == ["modest"]
        await _end([modest])

    async def test_a_place_given_to_one_who_leaves_in_that_moment_goes_on(
        self, make: Callable[..., Shares]
    ) -> None:
        shares = make(1, waiting=100)
        first = await shares.take(tenant="a")
        leaving = asyncio.create_task(shares.take(tenant="b"))
        staying = asyncio.create_task(shares.take(tenant="c"))
        await asyncio.sleep(0)
        first.release()  # the turn is b's now, though b has not woken
        leaving.cancel()
        share = await asyncio.wait_for(staying, 1)
        assert shares.held == 1
        share.release()
        assert (shares.held, shares.waiting) == (0, 0)


async def _wait(shares: Shares, tenant: str, order: list[str], units: int = 1) -> Share:
    """Take places, note it and keep them."""
    share = await shares.take(units, tenant=tenant)
    order.append(tenant)
    try:
        await asyncio.Event().wait()
    finally:
        share.release()
    return share


async def _pass(shares: Shares, tenant: str, order: list[str]) -> None:
    with await shares.take(tenant=tenant):
        order.append(tenant)


async def _settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def _end(tasks: list["asyncio.Task[Share]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
