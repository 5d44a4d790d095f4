"""What a request costs, who is refused, and what a tenant is told."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from ragwork_hooks.admission import Admission
from ragwork_hooks.authz import Deny


async def failing() -> None:
    raise RuntimeError("the work failed")


async def test_a_run_costs_three_units_and_anything_else_one(here: Any, tenant: str) -> None:
    for rate_class in ("run", "mutation", "read", "ops"):
        admission = await here.request(tenant, rate_class)
    assert admission.headers == {
        "X-Quota-Day-Limit": "unlimited",
        "X-Quota-Day-Used": "6",
        "X-Quota-Day-Remaining": "unlimited",
        "X-Quota-Month-Limit": "unlimited",
        "X-Quota-Month-Used": "6",
        "X-Quota-Month-Remaining": "unlimited",
        "X-Quota-SoftCap-Reached": "false",
        "X-Quota-HardCap-Mode": "enforce",
    }


async def test_two_hundred_clients_race_for_the_last_ten_units(
    here: Any, elsewhere: Any, tenant: str
) -> None:
    await here.limit(tenant, daily_requests_limit=40)
    for _ in range(10):
        await here.request(tenant, "run")
    verdicts = await asyncio.gather(
        *(
            (here if n % 2 else elsewhere).request(tenant, ("run", "mutation", "read")[n % 3])
            for n in range(200)
        )
    )
    refused = [verdict for verdict in verdicts if isinstance(verdict, Deny)]
    assert await here.used(tenant) == 40
    assert refused
    assert {verdict.details["limit"] for verdict in refused} == {40}


@pytest.mark.parametrize("limit", [100, 101])
async def test_runs_use_a_limit_up_to_the_last_unit_that_fits(here: Any, tenant: str, limit: int) -> None:
    await here.limit(tenant, monthly_requests_limit=limit)
    verdicts = await asyncio.gather(*(here.request(tenant, "run") for _ in range(60)))
    admitted = sum(isinstance(verdict, Admission) for verdict in verdicts)
    assert admitted == limit // 3
    assert await here.used(tenant, "month") == admitted * 3 == await here.used(tenant)
    assert await here.admitted(tenant) == admitted


async def test_the_refusal_names_the_month_first_and_carries_the_headers(here: Any, tenant: str) -> None:
    await here.limit(tenant, daily_requests_limit=2, monthly_requests_limit=2)
    await here.request(tenant)
    verdict = await here.request(tenant, "run")
    assert verdict.code == "QUOTA_EXCEEDED"
    assert verdict.message == "Monthly request quota exceeded"
    assert verdict.details == {"period": "month", "limit": 2, "used": 1, "remaining": 0}
    assert verdict.headers["X-Quota-Month-Used"] == "1"
    await here.limit(tenant, monthly_requests_limit=None)
    assert (await here.request(tenant, "run")).details["period"] == "day"


async def test_zero_is_nothing_and_null_is_no_limit(here: Any, tenant: str) -> None:
    await here.limit(tenant, daily_requests_limit=0)
    for rate_class in ("run", "mutation", "read"):
        assert isinstance(await here.request(tenant, rate_class), Deny)
    await here.limit(tenant, daily_requests_limit=None)
    assert isinstance(await here.request(tenant, "read"), Admission)


async def test_a_limit_below_what_was_used_stops_and_a_raised_one_lets_go_on(here: Any, tenant: str) -> None:
    for _ in range(5):
        await here.request(tenant)
    await here.limit(tenant, daily_requests_limit=3)
    verdict = await here.request(tenant)
    assert verdict.details["used"] == 5
    assert verdict.headers["X-Quota-Day-Remaining"] == "0"
    await here.limit(tenant, daily_requests_limit=6)
    assert isinstance(await here.request(tenant), Admission)
    assert isinstance(await here.request(tenant), Deny)


@pytest.mark.parametrize("rate_class", ["mutation", "run", "read"])
async def test_work_that_failed_costs_nothing(here: Any, tenant: str, rate_class: str) -> None:
    await here.limit(tenant, daily_requests_limit=3)
    for _ in range(4):
        if rate_class == "mutation":
            with pytest.raises(RuntimeError):
                await here.request(tenant, rate_class, failing)
        else:
            assert isinstance(await here.request(tenant, rate_class, failing), Admission)
    assert await here.used(tenant) == 0
    assert await here.admitted(tenant) == 0


async def test_a_replayed_answer_has_headers_and_costs_nothing(here: Any, tenant: str) -> None:
    await here.limit(tenant, daily_requests_limit=1)
    await here.request(tenant)
    for _ in range(3):
        admission = await here.request(tenant, free=True)
        assert isinstance(admission, Admission)
        assert admission.headers["X-Quota-Day-Used"] == "1"
    assert await here.used(tenant) == 1


async def test_the_soft_cap_is_told_once_a_period(here: Any, tenant: str) -> None:
    await here.limit(tenant, daily_requests_limit=10)
    reached = []
    for _ in range(10):
        admission = await here.request(tenant)
        reached.append(admission.headers["X-Quota-SoftCap-Reached"])
    assert reached == ["false"] * 7 + ["true"] * 3
    [told] = here.events.of(tenant, "quota.soft_cap_reached")
    assert (told["period"], told["limit"], told["used"]) == ("day", 10, 8)
    assert Counter(here.audit.seen)[tenant, "quota.soft_cap_reached"] == 1


async def test_a_rolled_back_charge_tells_nothing_and_the_next_one_does(here: Any, tenant: str) -> None:
    await here.limit(tenant, daily_requests_limit=1)
    with pytest.raises(RuntimeError):
        await here.request(tenant, "mutation", failing)
    assert not here.events.of(tenant, "quota.soft_cap_reached")
    await here.request(tenant)
    assert len(here.events.of(tenant, "quota.soft_cap_reached")) == 1


async def test_a_block_is_told_once_a_period_however_many_are_refused(
    here: Any, elsewhere: Any, tenant: str
) -> None:
    await here.limit(tenant, daily_requests_limit=0)
    verdicts = await asyncio.gather(
        *((here if n % 2 else elsewhere).request(tenant, "read") for n in range(12))
    )
    assert all(verdict.audit_event == "quota.hard_cap_blocked" for verdict in verdicts)
    told = [e for p in (here, elsewhere) for e in p.events.of(tenant, "quota.hard_cap_blocked")]
    assert len(told) == 1


async def test_without_a_hard_cap_an_overage_is_admitted_and_told_once(here: Any, tenant: str) -> None:
    await here.limit(tenant, daily_requests_limit=2, hard_cap_enabled=False)
    for _ in range(5):
        admission = await here.request(tenant)
    assert admission.headers["X-Quota-HardCap-Mode"] == "observe"
    assert (admission.headers["X-Quota-Day-Used"], admission.headers["X-Quota-Day-Remaining"]) == ("5", "0")
    assert len(here.events.of(tenant, "quota.overage_observed")) == 1


async def test_usage_is_sampled_and_not_told_with_each_charge(here: Any, tenant: str) -> None:
    for _ in range(5):
        await here.request(tenant)
    assert len(here.events.of(tenant, "billing.usage_recorded")) == 1
