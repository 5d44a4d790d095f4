"""Reads draw from small blocks; however many processes do, caps hold and every unit is accounted for."""

import asyncio
from typing import Any

import pytest
from ragwork_hooks.admission import Admission
from ragwork_hooks.authz import Deny


async def test_sixteen_reads_cost_one_transaction(here: Any, tenant: str) -> None:
    before = here.db.opened
    for n in range(1, 17):
        admission = await here.request(tenant, "read")
        assert admission.headers["X-Quota-Day-Used"] == str(n)
    assert here.db.opened == before + 1
    assert await here.used(tenant) == 16


async def test_headers_count_each_request_once_whatever_its_class(here: Any, tenant: str) -> None:
    used = 0
    for rate_class, cost in [("read", 1), ("run", 3), ("read", 1), ("mutation", 1), ("ops", 1)] * 8:
        used += cost
        admission = await here.request(tenant, rate_class)
        assert admission.headers["X-Quota-Day-Used"] == str(used)
        assert admission.headers["X-Quota-Month-Used"] == str(used)


async def test_concurrent_reads_share_one_lease_at_a_time(here: Any, tenant: str) -> None:
    before = here.db.opened
    await asyncio.gather(*(here.request(tenant, "read") for _ in range(64)))
    assert here.db.opened == before + 4
    assert await here.used(tenant) == 64


async def test_an_unused_rest_is_returned_within_a_second_and_reads_are_counted(
    here: Any, tenant: str
) -> None:
    for _ in range(5):
        await here.request(tenant, "read")
    assert await here.used(tenant) == 16
    await here.leases.tick()
    assert await here.used(tenant) == 16, "too young to be returned"
    here.clock.ahead_s = 0.75
    await here.leases.tick()
    assert await here.used(tenant) == 5
    assert await here.admitted(tenant) == 5
    here.clock.ahead_s = 120.0
    await here.leases.tick()
    assert here.leases._quotas == {}


async def test_shutdown_returns_what_is_left(urls: Any, start: Any, here: Any, tenant: str) -> None:
    async with start(urls) as leaving:
        for _ in range(3):
            await leaving.request(tenant, "read")
    assert await here.used(tenant) == 3
    assert await here.admitted(tenant) == 3


async def test_a_failed_read_goes_back_into_the_lease(here: Any, tenant: str) -> None:
    async def failing() -> None:
        raise RuntimeError

    await here.request(tenant, "read")
    before = here.db.opened
    for _ in range(3):
        admission = await here.request(tenant, "read", failing)
        assert admission.headers["X-Quota-Day-Used"] == "2"
    assert here.db.opened == before


async def test_a_read_that_fails_after_its_lease_was_returned_is_refunded(here: Any, tenant: str) -> None:
    async def slow() -> None:
        here.clock.ahead_s = 1.0
        await here.leases.tick()
        raise RuntimeError

    await here.request(tenant, "read")
    await here.request(tenant, "read", slow)
    assert await here.used(tenant) == 1
    assert await here.admitted(tenant) == 1


async def test_near_a_cap_every_read_is_charged_by_itself(here: Any, tenant: str) -> None:
    await here.limit(tenant, monthly_requests_limit=200)
    for n in range(1, 4):
        await here.request(tenant, "read")
        assert await here.used(tenant) == n


async def test_several_processes_with_leases_use_the_whole_limit_and_no_unit_more(
    urls: Any, start: Any, tenant: str
) -> None:
    async with start(urls, 2) as a, start(urls, 2) as b, start(urls, 2) as c:
        processes, limit = (a, b, c), 900
        await a.limit(tenant, daily_requests_limit=limit)
        verdicts = await asyncio.gather(
            *(
                processes[n % 3].request(tenant, ("read", "read", "mutation", "ops")[n % 4])
                for n in range(1000)
            )
        )
        admitted = sum(isinstance(verdict, Admission) for verdict in verdicts)
        assert admitted <= limit
        alone = 1000 + (1000 - admitted)  # a refusal is written down in a second transaction
        assert sum(p.db.opened for p in processes) < alone - 100, "hardly anything was leased"
        for p in processes:
            p.clock.ahead_s = 1.0
            await p.leases.tick()
        for _ in range(limit - admitted):
            assert isinstance(await a.request(tenant, "mutation"), Admission)
        assert isinstance(await a.request(tenant, "mutation"), Deny)
        assert await a.used(tenant) == limit == await a.admitted(tenant)


async def test_a_lowered_limit_ends_the_lease_at_hand(here: Any, tenant: str) -> None:
    await here.request(tenant, "read")
    await here.limit(tenant, daily_requests_limit=0)
    assert isinstance(await here.request(tenant, "read"), Deny)
    assert await here.used(tenant) == 1, "the rest was returned with the refusal"


async def test_a_lease_whose_return_fails_stays_charged_and_is_not_used_again(
    here: Any, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await here.request(tenant, "read")

    async def broken(*_: object) -> None:
        raise OSError("the database is away")

    here.clock.ahead_s = 1.0
    with monkeypatch.context() as patch:
        patch.setattr(here.gate._charger, "give_back", broken)
        with pytest.raises(OSError, match="away"):
            await here.leases.tick()
    assert await here.used(tenant) == 16
    admission = await here.request(tenant, "read")
    assert admission.headers["X-Quota-Day-Used"] == "17"
