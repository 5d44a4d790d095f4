"""What dashboards are told, and limits that come with a plan."""

from typing import Any

import pytest
from ragwork_hooks.authz import Deny
from ragwork_hooks.errors import Problem
from ragwork_hooks.plans import Entitlement, Subscription


class OnePlan:
    """Every tenant has the plan ``config``."""

    def __init__(self, config: dict[str, object] | None, enabled: bool = True) -> None:
        self._entitlement = Entitlement(feature_key="high_quota_tier", enabled=enabled, config=config)

    async def subscription(self, tenant_id: str) -> Subscription:
        return Subscription(plan_id="p", plan_name="P", entitlements={"high_quota_tier": self._entitlement})


async def test_a_summary_counts_requests_by_class_and_units_by_period(here: Any, tenant: str) -> None:
    await here.limit(tenant, daily_requests_limit=1000, monthly_requests_limit=None)
    for rate_class in ("run", "run", "read", "read", "ops", "mutation"):
        await here.request(tenant, rate_class)
    usage = here.capability("UsageReports")
    async with here.db.tenant(tenant, "read") as tx:
        summary = await usage.summary(tx, 30)
        days = await usage.by_day(tx, 3)
    assert summary.by_class == {"run": 2, "read": 2, "mutation": 1, "ops": 1}
    assert summary.total == 6
    assert (summary.day.limit, summary.day.used, summary.day.remaining) == (1000, 10, 990)
    assert (summary.month.limit, summary.month.used, summary.month.remaining) == (None, 10, None)
    assert (summary.soft_cap_reached, summary.hard_cap_mode) == (False, "enforce")
    assert [count for _, count in days] == [0, 0, 6]


async def test_a_tenant_that_did_nothing_has_a_summary_of_zeros(here: Any, tenant: str) -> None:
    async with here.db.tenant(tenant, "read") as tx:
        summary = await here.capability("UsageReports").summary(tx, 1)
    assert summary.by_class == {"run": 0, "read": 0, "mutation": 0, "ops": 0}
    assert summary.month.used == 0


async def test_a_plans_limits_hold_until_the_tenant_has_its_own(urls: Any, start: Any, tenant: str) -> None:
    async with start(urls, plans=OnePlan({"daily_requests_limit": 2, "soft_cap_ratio": 0.5})) as here:
        first = await here.request(tenant)
        assert first.headers["X-Quota-Day-Limit"] == "2"
        assert first.headers["X-Quota-SoftCap-Reached"] == "true"
        await here.request(tenant)
        assert isinstance(await here.request(tenant), Deny)
        await here.limit(tenant, monthly_requests_limit=50)
        assert isinstance(await here.request(tenant), Deny), "what is not changed stays the plan's"
        await here.limit(tenant, daily_requests_limit=3)
        assert not isinstance(await here.request(tenant), Deny)


@pytest.mark.parametrize("plan", [OnePlan(None), OnePlan({"daily_requests_limit": 0}, enabled=False)])
async def test_a_plan_that_says_nothing_is_unlimited(
    urls: Any, start: Any, tenant: str, plan: OnePlan
) -> None:
    async with start(urls, plans=plan) as here:
        assert (await here.request(tenant)).headers["X-Quota-Day-Limit"] == "unlimited"


@pytest.mark.parametrize(
    "config",
    [
        {"daily_requests_limit": "5"},
        {"monthly_requests_limit": -1},
        {"daily_tokens_limit": True},
        {"soft_cap_ratio": 2},
        {"soft_cap_ratio": float("nan")},
        {"hard_cap_enabled": "no"},
    ],
)
async def test_an_unusable_plan_refuses_instead_of_being_unlimited(
    urls: Any, start: Any, tenant: str, config: dict[str, object]
) -> None:
    async with start(urls, plans=OnePlan(config)) as here:
        with pytest.raises(Problem, match="an operator must mend it"):
            await here.request(tenant)


async def test_the_plan_is_read_before_a_request_holds_a_connection(
    urls: Any, start: Any, tenant: str
) -> None:
    async with start(urls, plans=OnePlan(None)) as here:
        assert [(gate.stage, gate.name) for gate in here.contribution.admission_gates] == [
            ("rate", "quota.plan"),
            ("quota", "quota"),
        ]


async def test_at_a_pool_of_one_connection_nothing_waits_for_a_second(
    urls: Any, start: Any, tenant: str
) -> None:
    async with start(urls, size=1, plans=OnePlan({"daily_requests_limit": 1000})) as here:
        for rate_class in ("read", "mutation", "run", "ops"):
            assert not isinstance(await here.request(tenant, rate_class), Deny)
