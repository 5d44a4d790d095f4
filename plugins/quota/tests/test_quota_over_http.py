"""Quotas through a served platform: headers, refusals and the admin API."""

from datetime import UTC, datetime
from typing import Any

from ragwork_testkit.platform import DEFAULT_PLUGINS

PLUGINS = (*DEFAULT_PLUGINS, "quota")
HEADERS = {
    f"X-Quota-{period}-{name}" for period in ("Day", "Month") for name in ("Limit", "Used", "Remaining")
} | {"X-Quota-SoftCap-Reached", "X-Quota-HardCap-Mode"}
ODD_BODIES = (
    '{"daily_requests_limit": -1}',
    '{"daily_requests_limit": NaN}',
    '{"daily_requests_limit": "5"}',
    '{"daily_requests_limit": "1e3"}',
    '{"daily_requests_limit": 1e30}',
    '{"daily_requests_limit": 1.5}',
    '{"daily_requests_limit": true}',
    '{"daily_requests_limit": 9007199254740992}',
    '{"soft_cap_ratio": 1.1}',
    '{"soft_cap_ratio": null}',
    '{"hard_cap_enabled": null}',
    '{"hard_cap_enabled": 1}',
    '{"weekly_requests_limit": 1}',
    "[]",
)


def today() -> str:
    return datetime.now(UTC).date().isoformat()


async def test_the_headers_stand_on_json_streams_deletions_and_refusals(platform: Any) -> None:
    async with platform(plugins=PLUGINS) as app:
        key = await app.key()
        operator = await app.key("ops", platform=True)
        made = await app.call(
            "POST", "/v1/corpora", key, json={"id": "c", "name": "C", "provider_config_json": {}}
        )
        listed = await app.call("GET", "/v1/corpora", key)
        async with app.session.post(
            f"{app.base}/v1/run",
            json={"session_id": "s", "corpus_id": "c", "message": "Hello?"},
            headers={"Authorization": f"Bearer {key}"},
        ) as run:
            await run.read()
        gone = await app.call("DELETE", "/v1/corpora/c", key)
        assert [made.status, listed.status, run.status, gone.status] == [201, 200, 200, 204]
        used = [answer.headers["X-Quota-Day-Used"] for answer in (made, listed, run, gone)]
        assert used == ["1", "2", "5", "6"]
        missing = await app.call("GET", "/v1/corpora/none", key)
        assert missing.status == 404
        limited = await app.call("PATCH", "/v1/admin/quotas/t1", operator, json={"monthly_requests_limit": 6})
        assert limited.status == 200
        refused = await app.call("GET", "/v1/corpora", key)
        assert (refused.status, refused.code) == (402, "QUOTA_EXCEEDED")
        assert refused.body["error"]["details"] == {"period": "month", "limit": 6, "used": 6, "remaining": 0}
        for answer in (made, listed, run, gone, refused):
            assert set(answer.headers) >= HEADERS
        anonymous = await app.call("GET", "/v1/health")
        assert not HEADERS & set(anonymous.headers)


async def test_an_operator_at_its_own_limit_can_still_lift_it(platform: Any) -> None:
    async with platform(plugins=PLUGINS) as app:
        operator = await app.key("shut", platform=True)
        path = "/v1/admin/quotas/shut"
        assert (await app.call("PATCH", path, operator, json={"daily_requests_limit": 0})).status == 200
        assert (await app.call("GET", "/v1/corpora", operator)).status == 402
        lifted = await app.call("PATCH", path, operator, json={"daily_requests_limit": None})
        assert (lifted.status, lifted.headers["X-Quota-Day-Limit"]) == (200, "0")
        assert (await app.call("GET", "/v1/corpora", operator)).status == 200


async def test_limits_are_patched_with_platform_scope_and_read_by_the_tenant(platform: Any) -> None:
    async with platform(plugins=PLUGINS) as app:
        key, operator = await app.key(), await app.key("ops", platform=True)
        path = "/v1/admin/quotas/t1"
        assert (await app.call("PATCH", path, key, json={"daily_requests_limit": 9})).status == 403
        changed = await app.call(
            "PATCH",
            path,
            operator,
            json={"daily_requests_limit": 500, "monthly_requests_limit": 10000, "daily_tokens_limit": 7},
        )
        expected = {
            "tenant_id": "t1",
            "daily_requests_limit": 500,
            "monthly_requests_limit": 10000,
            "daily_tokens_limit": 7,
            "monthly_tokens_limit": None,
            "soft_cap_ratio": 0.8,
            "hard_cap_enabled": True,
        }
        assert changed.data == expected
        again = await app.call(
            "PATCH",
            path,
            operator,
            json={"daily_requests_limit": None, "soft_cap_ratio": 0.5, "hard_cap_enabled": False},
        )
        expected |= {"daily_requests_limit": None, "soft_cap_ratio": 0.5, "hard_cap_enabled": False}
        assert again.data == expected
        assert (await app.call("PATCH", path, operator, json={})).data == expected
        assert (await app.call("GET", path, key)).data == expected
        assert (await app.call("GET", path, await app.key("t2"))).status == 403
        assert (await app.call("GET", path, await app.key(role="editor", user="e"))).status == 403


async def test_an_odd_limit_is_422_and_changes_nothing(platform: Any) -> None:
    async with platform(plugins=("directory", "apikeys", "rbac", "quota")) as app:
        operator, path = await app.key("ops", platform=True), "/v1/admin/quotas/t1"
        before = (await app.call("GET", path, operator)).data
        for body in ODD_BODIES:
            answer = await app.call(
                "PATCH", path, operator, data=body, headers={"Content-Type": "application/json"}
            )
            assert (answer.status, answer.code) == (422, "REQUEST_VALIDATION_ERROR"), body
        assert (await app.call("GET", path, operator)).data == before


async def test_usage_is_exact_in_the_process_that_holds_the_lease(platform: Any) -> None:
    async with platform(plugins=PLUGINS) as app:
        key = await app.key()
        for _ in range(4):
            await app.call("GET", "/v1/corpora", key)
        day = await app.call("GET", f"/v1/admin/usage/t1?start={today()}", key)
        assert day.data == {
            "tenant_id": "t1",
            "period_type": "day",
            "period_start": today(),
            "requests_count": 5,
            "estimated_tokens_count": None,
        }
        month = await app.call("GET", f"/v1/admin/usage/t1?period=month&start={today()}", key)
        assert month.data["period_start"] == today()[:8] + "01"
        assert month.data["requests_count"] == 6
        past = await app.call("GET", "/v1/admin/usage/t1?start=2001-02-03", key)
        assert past.data["requests_count"] == 0
        for query in ("", "?start=2026-02-30", "?start=today", f"?start={today()}&period=year"):
            assert (await app.call("GET", f"/v1/admin/usage/t1{query}", key)).status == 422
        assert (await app.call("GET", f"/v1/admin/usage/t9?start={today()}", key)).status == 403
