"""Places are bounded, handed out fairly, and come back whatever happens to who holds or awaits them."""

import asyncio
import random

from ragwork_resilience.bulkhead import Bulkhead


async def test_never_more_than_the_limit_and_none_is_lost():
    bulkhead, rng = Bulkhead(5), random.Random(3)
    running, most = 0, 0

    async def one(number):
        nonlocal running, most
        slot = await bulkhead.take(f"t{number % 7}", rng.random() * 0.05)
        if slot is None:
            return
        running += 1
        most = max(most, running)
        try:
            await asyncio.sleep(rng.random() * 0.004)
        finally:
            running -= 1
            slot.release()
            slot.release()

    tasks = [asyncio.create_task(one(number)) for number in range(400)]
    for task in tasks:
        await asyncio.sleep(0)
        if rng.random() < 0.4:
            asyncio.get_running_loop().call_later(rng.random() * 0.03, task.cancel)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert most == 5
    assert (bulkhead.taken, bulkhead.waiting) == (0, 0)


async def test_a_place_given_to_one_who_leaves_in_that_moment_goes_on():
    bulkhead = Bulkhead(1)
    first = await bulkhead.take("a", 0)
    leaving = asyncio.create_task(bulkhead.take("b", 1))
    staying = asyncio.create_task(bulkhead.take("c", 1))
    await asyncio.sleep(0)
    first.release()  # the turn is b's now, though b has not woken
    leaving.cancel()
    assert await staying is not None
    assert bulkhead.taken == 1


async def test_who_waits_too_long_gets_none():
    bulkhead = Bulkhead(1)
    slot = await bulkhead.take("a", 0)
    assert await bulkhead.take("a", 0) is None
    assert await bulkhead.take("a", 0.01) is None
    slot.release()
    assert (bulkhead.taken, bulkhead.waiting) == (0, 0)


async def test_a_tenant_with_many_waiters_does_not_starve_another():
    bulkhead, order = Bulkhead(2), []
    held = [await bulkhead.take("greedy", 0) for _ in range(2)]

    async def one(owner):
        slot = await bulkhead.take(owner, 5)
        order.append(owner)
        await asyncio.sleep(0.001)
        slot.release()

    tasks = [asyncio.create_task(one("greedy")) for _ in range(20)]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(one("modest")))
    await asyncio.sleep(0)
    held[0].release()
    await asyncio.sleep(0)
    held[1].release()
    await asyncio.gather(*tasks)
    assert order[0] == "modest"


async def test_one_tenant_is_served_in_order():
    bulkhead, order = Bulkhead(1), []
    held = await bulkhead.take("t", 0)

    async def one(number):
        slot = await bulkhead.take("t", 5)
        order.append(number)
        slot.release()

    tasks = [asyncio.create_task(one(number)) for number in range(10)]
    await asyncio.sleep(0)
    held.release()
    await asyncio.gather(*tasks)
    assert order == list(range(10))
