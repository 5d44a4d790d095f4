"""The self-serve API over HTTP, with and without the plugins that it shows."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
import pytest_asyncio
from ragwork_hooks.audit import EventCount
from ragwork_hooks.documents import Ingestion
from ragwork_hooks.metering import QuotaWindow, UsageSummary
from ragwork_selfserve.usage import SummaryQuery, TimeseriesQuery, UsageApi

PLUGINS = ("directory", "apikeys", "rbac", "plans", "selfserve")
KEYS = "/v1/self-serve/api-keys"
CAP = 6


@pytest_asyncio.fixture
async def app(platform: Callable[..., Any]) -> AsyncIterator[Any]:
    settings = {"PLAN_DEFAULT": "free", "SELF_SERVE_MAX_ACTIVE_KEYS": str(CAP)}
    async with platform(plugins=PLUGINS, settings=settings) as running:
        yield running


async def test_a_key_is_shown_once_and_works_until_it_is_revoked(app: Any) -> None:
    admin = await app.key("t1")
    made = await app.call(
        "POST", KEYS, admin, json={"name": "ci-bot", "role": "admin", "expires_in_days": 30}
    )
    assert made.status == 200
    assert set(made.data) == {
        "key_id", "key_prefix", "name", "role", "created_at", "last_used_at", "expires_at", "revoked_at",
        "is_active", "api_key",
    }  # fmt: skip
    secret = made.data["api_key"]
    assert (made.data["name"], made.data["role"], made.data["is_active"]) == ("ci-bot", "admin", True)
    assert made.data["key_prefix"] == secret[:12]
    listed = await app.call("GET", KEYS, secret)
    assert (listed.status, len(listed.data["items"])) == (200, 2)
    assert secret not in listed.text
    assert listed.data["items"][0] == {k: v for k, v in made.data.items() if k != "api_key"} | {
        "last_used_at": listed.data["items"][0]["last_used_at"]
    }
    revoke = f"{KEYS}/{made.data['key_id']}/revoke"
    revoked = await app.call("POST", revoke, admin)
    assert (revoked.status, revoked.data["is_active"]) == (200, False)
    assert (await app.call("GET", KEYS, secret)).code == "AUTH_REVOKED_KEY"
    assert (await app.call("POST", revoke, admin)).data["revoked_at"] == revoked.data["revoked_at"]


async def test_a_nameless_key_needs_no_more_than_a_role(app: Any) -> None:
    for body in ({"role": "reader"}, {"role": "reader", "name": None}, {"role": "reader", "name": ""}):
        made = await app.call("POST", KEYS, await app.key("t1", user="boss"), json=body)
        assert (made.status, made.data["name"], made.data["expires_at"]) == (200, None, None)


@pytest.mark.parametrize(
    "body",
    [
        {}, {"role": "root"}, {"role": "Admin"}, {"role": 3}, {"role": "reader", "name": "x" * 129},
        {"role": "reader", "name": "a\x00b"}, {"role": "reader", "expires_in_days": 0},
        {"role": "reader", "expires_in_days": 3651}, {"role": "reader", "expires_in_days": 1.5},
        {"role": "reader", "expires_in_days": True}, {"role": "reader", "platform": True},
        {"role": "reader", "user_id": "boss"},
    ],
)  # fmt: skip
async def test_bad_requests_make_no_key(app: Any, body: Any) -> None:
    admin = await app.key("t1")
    assert (await app.call("POST", KEYS, admin, json=body)).status == 422
    assert len((await app.call("GET", KEYS, admin)).data["items"]) == 1


async def test_forty_racing_requests_stop_at_the_cap_on_two_servers(
    app: Any, platform: Callable[..., Any]
) -> None:
    admin = await app.key("t1")
    settings = {"SELF_SERVE_MAX_ACTIVE_KEYS": str(CAP)}
    async with platform(plugins=PLUGINS, settings=settings, database_url=app.database_url) as far:
        answers = await asyncio.gather(
            *((app, far)[n % 2].call("POST", KEYS, admin, json={"role": "reader"}) for n in range(40))
        )
    assert [a.status for a in answers].count(200) == CAP - 1
    refused = [a for a in answers if a.status != 200]
    assert {(a.status, a.code) for a in refused} == {(409, "KEY_LIMIT_REACHED")}
    assert len((await app.call("GET", KEYS, admin)).data["items"]) == CAP


async def test_nobody_below_admin_and_no_other_tenant_gets_in(app: Any) -> None:
    admin, editor = await app.key("t1"), await app.key("t1", "editor")
    foreign, operator = await app.key("t2"), await app.key("t3", platform=True)
    made = await app.call("POST", KEYS, admin, json={"role": "reader"})
    revoke = f"{KEYS}/{made.data['key_id']}/revoke"
    for method, path in (
        ("POST", KEYS), ("GET", KEYS), ("POST", revoke), ("GET", f"{KEYS}/inactive-report"),
        ("GET", "/v1/self-serve/usage/summary"), ("GET", "/v1/self-serve/usage/timeseries"),
        ("GET", "/v1/self-serve/plan"), ("POST", "/v1/self-serve/plan/upgrade-request"),
    ):  # fmt: skip
        body = {"role": "reader"} if path == KEYS and method == "POST" else None
        refused = await app.call(method, path, editor, json=body)
        assert (refused.status, refused.code) == (403, "AUTH_FORBIDDEN"), path
    for key in (foreign, operator):
        answer = await app.call("POST", revoke, key)
        missing = await app.call("POST", f"{KEYS}/{'a' * 16}/revoke", key)
        assert (answer.status, answer.code) == (missing.status, missing.code) == (404, "NOT_FOUND")
    assert (await app.call("GET", KEYS, made.data["api_key"])).status == 403  # works, and is a reader's


async def test_a_platform_key_makes_no_platform_key(app: Any) -> None:
    operator = await app.key("t1", platform=True)
    made = await app.call("POST", KEYS, operator, json={"role": "admin"})
    patched = await app.call(
        "PATCH", "/v1/admin/plans/t1", made.data["api_key"], json={"plan_id": "enterprise"}
    )
    assert (patched.status, patched.code) == (403, "AUTH_FORBIDDEN")


async def test_the_report_names_unused_and_expired_keys_only(app: Any) -> None:
    admin = await app.key("t1", user="boss")
    made = [(await app.call("POST", KEYS, admin, json={"role": "reader"})).data["key_id"] for _ in range(4)]
    async with app.platform.facades["apikeys"].db.tenant("t1") as tx:
        aged = "UPDATE apikeys.keys SET created_at = now() - make_interval(days => $2) WHERE id = $1"
        await tx.execute(aged, made[0], 100)
        await tx.execute(aged, made[1], 40)
        await tx.execute("UPDATE apikeys.keys SET expires_at = now() WHERE id = $1", made[2])
        await tx.execute(
            "UPDATE apikeys.keys SET revoked_at = now(), expires_at = now() WHERE id = $1", made[3]
        )

    async def report(**params: str) -> Any:
        return (await app.call("GET", f"{KEYS}/inactive-report", admin, params=params)).data

    first = await report()
    assert first["inactive_days_threshold"] == 90
    assert {item["key_id"]: item["is_expired"] for item in first["items"]} == {made[0]: False, made[2]: True}
    assert {item["key_id"] for item in (await report(inactive_days="40"))["items"]} == set(made[:3])
    for days in ("0", "3651", "x", "1.5"):
        refused = await app.call("GET", f"{KEYS}/inactive-report", admin, params={"inactive_days": days})
        assert refused.status == 422


async def test_the_own_plan_and_a_request_for_another_that_gives_nothing(app: Any) -> None:
    admin = await app.key("t1")
    plan = (await app.call("GET", "/v1/self-serve/plan", admin)).data
    assert (plan["tenant_id"], plan["plan_id"], plan["plan_name"]) == ("t1", "free", "Free")
    assert {e["feature_key"] for e in plan["entitlements"] if e["enabled"]} == {
        "feature.retrieval.local_pgvector"
    }
    path = "/v1/self-serve/plan/upgrade-request"
    asked = await app.call("POST", path, admin, json={"target_plan": "pro", "reason": "speech"})
    assert (asked.status, asked.data["status"]) == (202, "pending")
    again = await app.call("POST", path, admin, json={"target_plan": "pro"})
    assert again.data["request_id"] == asked.data["request_id"]
    for body in (
        {"target_plan": "free"}, {"target_plan": "gold"}, {}, {"target_plan": "pro", "reason": "x" * 1025},
    ):  # fmt: skip
        assert (await app.call("POST", path, admin, json=body)).status == 422
    assert (await app.call("GET", "/v1/self-serve/plan", admin)).data == plan


async def test_what_nobody_measures_is_null(app: Any) -> None:
    admin = await app.key("t1")
    window = {"limit": None, "used": None, "remaining": None}
    summary = await app.call("GET", "/v1/self-serve/usage/summary", admin)
    assert summary.data == {
        "window_days": 30,
        "requests": {
            "total": None,
            "by_route_class": {"run": None, "read": None, "mutation": None, "ops": None},
        },
        "quota": {"day": window, "month": window, "soft_cap_reached": False, "hard_cap_mode": "observe"},
        "rate_limit_hits": {"count": None, "last_at": None},
        "ingestion": {"queued": None, "processing": None, "succeeded": None, "failed": None},
    }
    series = await app.call("GET", "/v1/self-serve/usage/timeseries", admin)
    assert series.data == {"metric": "requests", "granularity": "day", "points": []}
    for query in ("metric=tokens", "granularity=hour", "days=0", "days=91"):
        refused = await app.call("GET", f"/v1/self-serve/usage/timeseries?{query}", admin)
        assert refused.status == 422
    assert (await app.call("GET", "/v1/self-serve/usage/summary?window_days=91", admin)).status == 422


async def test_without_plans_there_are_no_plan_routes(platform: Callable[..., Any]) -> None:
    async with platform(plugins=("directory", "apikeys", "rbac", "selfserve")) as app:
        admin = await app.key("t1")
        assert (await app.call("GET", KEYS, admin)).status == 200
        assert (await app.call("GET", "/v1/self-serve/plan", admin)).status == 404


class Measuring:
    """The three capabilities with known numbers; what they were asked is kept."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    async def summary(self, tx: Any, days: int) -> UsageSummary:
        self.asked.append(days)
        return UsageSummary(
            total=12, by_class={"run": 5, "read": 6, "public": 1}, day=QuotaWindow(limit=10, used=9, remaining=1),
            month=QuotaWindow(limit=None, used=12, remaining=None), soft_cap_reached=True, hard_cap_mode="enforce",
        )  # fmt: skip

    async def by_day(self, tx: Any, days: int) -> Any:
        return [(date(2026, 2, 9), 0), (date(2026, 2, 10), 12)]

    async def tally(self, tx: Any, event_type: str, since: datetime) -> EventCount:
        self.asked += [event_type, since]
        return EventCount(count=3, last_at=datetime(2026, 2, 10, tzinfo=UTC))

    async def ingestion(self, tx: Any, since: datetime) -> Ingestion:
        self.asked.append(since)
        return Ingestion(by_status={"succeeded": 4, "failed": 1}, durations_ms={}, failures=[])


class Asked:
    """As much of a call as the handlers read."""

    tx = None

    def __init__(self, query: object) -> None:
        self.query = query


async def test_what_is_measured_is_shown_as_it_is() -> None:
    measuring = Measuring()
    now = datetime(2026, 2, 11, tzinfo=UTC)
    api: Any = UsageApi(
        usage=measuring,
        log=measuring,  # type: ignore[arg-type]
        documents=measuring,  # type: ignore[arg-type]
        now=lambda: now,
    )
    summary = await api.summary(Asked(SummaryQuery(window_days=10)))
    since = datetime(2026, 2, 1, tzinfo=UTC)
    assert measuring.asked == [10, "security.rate_limited", since, since]
    classes = summary.requests.by_route_class
    assert (summary.requests.total, classes.run, classes.read, classes.mutation, classes.ops) == (
        12,
        5,
        6,
        0,
        0,
    )
    assert (summary.quota.day.limit, summary.quota.day.remaining) == (10, 1)
    assert (summary.quota.soft_cap_reached, summary.quota.hard_cap_mode) == (True, "enforce")
    assert (summary.ingestion.succeeded, summary.ingestion.failed, summary.ingestion.queued) == (4, 1, 0)
    assert summary.rate_limit_hits.count == 3
    series = await api.timeseries(Asked(TimeseriesQuery()))
    assert [(p.ts.isoformat(), p.value) for p in series.points] == [
        ("2026-02-09", 0), ("2026-02-10", 12),
    ]  # fmt: skip
