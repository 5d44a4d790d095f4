"""Days and months are those of UTC on the database's clock, to the second."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from ragwork_hooks.authz import Deny
from ragwork_quota import plugin
from ragwork_testkit.process import sources


@pytest.fixture
async def own_urls(postgres: Any) -> AsyncIterator[Any]:
    """A database whose clock this test may turn."""
    async with postgres.database(sources(plugin)) as database:
        yield database.urls


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "after", "month_goes_on"),
    [
        ("2026-03-14T23:59:59.999999", "2026-03-15T00:00:00", True),
        ("2026-04-30T23:59:59.999999", "2026-05-01T00:00:00", False),
        ("2026-12-31T23:59:59.999999", "2027-01-01T00:00:00", False),
        ("2028-02-28T23:59:59.999999", "2028-02-29T00:00:00", True),
        ("2028-02-29T23:59:59.999999", "2028-03-01T00:00:00", False),
        ("2027-02-28T23:59:59.999999", "2027-03-01T00:00:00", False),
    ],
)
async def test_a_charge_lands_in_the_period_of_its_moment(
    own_urls: Any, start: Any, set_time: Any, tenant: str, before: str, after: str, month_goes_on: bool
) -> None:
    async with start(own_urls) as here:
        await set_time(own_urls, at(before))
        await here.limit(tenant, daily_requests_limit=3)
        await here.request(tenant, "run")
        assert isinstance(await here.request(tenant), Deny)
        await set_time(own_urls, at(after))
        admission = await here.request(tenant, "run")
        assert admission.headers["X-Quota-Day-Used"] == "3"
        assert admission.headers["X-Quota-Month-Used"] == ("6" if month_goes_on else "3")
        assert len(here.events.of(tenant, "quota.soft_cap_reached")) == 2, "once per period"


async def test_the_session_time_zone_changes_nothing(
    own_urls: Any, start: Any, set_time: Any, tenant: str
) -> None:
    await set_time(own_urls, at("2026-05-01T00:30:00"))
    elsewhere = attrs.evolve(own_urls, app=f"{own_urls.app}?timezone=America/Los_Angeles")
    async with start(elsewhere) as here:
        await here.request(tenant, "run")
        async with here.db.tenant(tenant, "read") as tx:
            assert await tx.fetchval("SHOW timezone") == "America/Los_Angeles"
            starts = await tx.fetch("SELECT starts_on FROM quota.balances")
            days = await here.capability("UsageReports").by_day(tx, 2)
        assert {str(row["starts_on"]) for row in starts} == {"2026-05-01"}
        assert [(str(day), n) for day, n in days] == [("2026-04-30", 0), ("2026-05-01", 1)]


async def test_a_lease_ends_with_its_day_and_its_rest_goes_back_to_it(
    own_urls: Any, start: Any, set_time: Any, tenant: str
) -> None:
    async with start(own_urls) as here:
        await set_time(own_urls, at("2026-05-31T23:59:59.700"))
        for _ in range(4):
            await here.request(tenant, "read")
        here.clock.ahead_s = 0.4
        await set_time(own_urls, at("2026-06-01T00:00:00.100"))
        admission = await here.request(tenant, "read")
        assert admission.headers["X-Quota-Day-Used"] == "1"
        assert admission.headers["X-Quota-Month-Used"] == "1"
        async with here.db.tenant(tenant, "read") as tx:
            rows = await tx.fetch(
                "SELECT starts_on, used FROM quota.balances WHERE period = 'day' ORDER BY 1"
            )
            counted = await tx.fetch("SELECT day, admitted FROM quota.requests ORDER BY 1")
        assert [(str(r["starts_on"]), int(r["used"])) for r in rows] == [
            ("2026-05-31", 4),
            ("2026-06-01", 16),
        ]
        assert [int(r["admitted"]) for r in counted] == [4, 1]


async def test_a_refund_after_midnight_goes_to_the_day_that_was_charged(
    own_urls: Any, start: Any, set_time: Any, tenant: str
) -> None:
    async def slow() -> None:
        await set_time(own_urls, at("2026-07-02T00:00:01"))
        raise RuntimeError

    async with start(own_urls) as here:
        await set_time(own_urls, at("2026-07-01T23:59:59"))
        await here.request(tenant, "run")
        await here.request(tenant, "run", slow)
    # The process has given back what it had leased.
    async with start(own_urls) as here:
        assert await here.used(tenant) == 0
        assert await here.used(tenant, "month") == 3


async def test_pruning_takes_what_ended_long_ago_and_never_the_running_period(
    own_urls: Any, start: Any, set_time: Any, tenant: str
) -> None:
    async with start(own_urls) as here:
        here.directory.ids = [tenant]
        for moment in ("2026-01-31T12:00:00", "2026-05-02T12:00:00"):
            await set_time(own_urls, at(moment))
            await here.request(tenant)
        await set_time(own_urls, at("2026-05-31T12:00:00"))
        [task] = here.contribution.maintenance
        assert (task.name, await task.run()) == ("prune_usage", 0)
        await set_time(own_urls, at("2026-06-01T12:00:00"))
        assert await task.run() == 3, "January's day, month and request count, 120 days after they ended"
        assert await task.run() == 0
        await set_time(own_urls, at("2026-09-15T12:00:00"))
        async with here.db.tenant(tenant, "read") as tx:
            assert await tx.fetchval("SELECT count(*) FROM quota.balances") == 2
