"""The assembled server: keys over real HTTP, with nothing but the identity plugins."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from ragwork_apikeys.store import KeyStore

PLUGINS = ("directory", "apikeys", "rbac")


@pytest.fixture
def identity(platform: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **settings: platform(plugins=PLUGINS, settings=settings)


async def test_list_patch_and_revoke_over_http(identity: Callable[..., Any]) -> None:
    async with identity() as app:
        admin, reader = await app.key("t1", "admin"), await app.key("t1", "reader", user="r")
        listed = await app.call("GET", "/v1/admin/api-keys", admin)
        assert (listed.status, listed.data["tenant_id"], len(listed.data["items"])) == (200, "t1", 2)
        item = next(i for i in listed.data["items"] if i["role"] == "reader")
        assert item["created_at"].endswith("+00:00")
        assert (await app.call("GET", "/v1/admin/api-keys", reader)).code == "AUTH_FORBIDDEN"
        path = f"/v1/admin/api-keys/{item['key_id']}"
        later = await app.call("PATCH", path, admin, json={"expires_at": "2999-01-01T00:00:00+00:00"})
        assert (later.status, later.data["expires_at"]) == (200, "2999-01-01T00:00:00+00:00")
        assert (await app.call("PATCH", path, admin, json={"role": "admin"})).status == 422
        assert (await app.call("PATCH", path, admin, json={"revoke": True})).data["is_active"] is False
        refused = await app.call("GET", "/v1/admin/api-keys", reader)
        assert (refused.status, refused.code) == (401, "AUTH_REVOKED_KEY")
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        foreign = await app.call("PATCH", path, await app.key("t2", "admin"), json={"revoke": True})
        missing = await app.call("PATCH", path[:-1] + "!", admin, json={"revoke": True})
        assert (foreign.status, missing.status) == (404, 404)
        other = await app.call("GET", "/v1/admin/api-keys", admin, params={"tenant_id": "t2"})
        assert (other.status, other.code) == (403, "AUTH_FORBIDDEN")


@pytest.mark.parametrize(
    "sent",
    [
        [],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer nrgk_x")],
        [("Authorization", "Basic eDp5")],
        [("Authorization", "{key}")],
        [("Authorization", "Bearer {key}"), ("Authorization", "Bearer {key}")],
        [("X-Api-Key", "{key}")],
        [("Cookie", "api_key={key}")],
        [("X-Tenant-Id", "t1"), ("X-Role", "admin")],
    ],
    ids=str,
)
async def test_everything_but_one_good_bearer_is_401(
    identity: Callable[..., Any], sent: list[tuple[str, str]]
) -> None:
    async with identity() as app:
        key = await app.key()
        headers = [(name, value.format(key=key)) for name, value in sent]
        url = f"{app.base}/v1/admin/api-keys"
        async with app.session.get(f"{url}?api_key={key}", headers=headers) as answer:
            assert (answer.status, answer.headers.get("WWW-Authenticate")) == (401, "Bearer")
            assert (await answer.json())["error"]["code"] == "AUTH_UNAUTHORIZED"
        async with app.session.get(url, headers={"Authorization": f"bearer {key}"}) as answer:
            assert answer.status == 200


async def test_the_bypass_over_http(identity: Callable[..., Any]) -> None:
    async with identity(AUTH_DEV_BYPASS="true") as app:
        path = "/v1/admin/api-keys"
        assert (await app.call("GET", path, headers={"X-Tenant-Id": "t9"})).data["tenant_id"] == "t9"
        as_reader = await app.call("GET", path, headers={"X-Tenant-Id": "t9", "X-Role": "reader"})
        assert (as_reader.status, as_reader.code) == (403, "AUTH_FORBIDDEN")
        bad = await app.call("GET", path, headers={"X-Tenant-Id": "t9", "X-Role": "root"})
        assert (bad.status, bad.code) == (400, "AUTH_INVALID_ROLE")
        assert (await app.call("GET", path)).status == 401
        assert (await app.call("GET", path, "nrgk_x", headers={"X-Tenant-Id": "t9"})).status == 401


async def test_the_log_is_told_of_every_key_and_once_an_hour_of_its_use(platform: Any) -> None:
    plugins = ("directory", "apikeys", "rbac", "plans", "rollouts", "audit", "selfserve")
    async with platform(plugins=plugins, settings={"PLAN_DEFAULT": "enterprise"}) as app:
        admin = await app.key("t1")
        made = await app.call("POST", "/v1/self-serve/api-keys", admin, json={"role": "reader"})
        one, key_id = f"/v1/admin/api-keys/{made.data['key_id']}", made.data["key_id"]
        for change in (
            {"active": False},
            {"active": True},
            {"name": "n"},
            {"revoke": True},
            {"revoke": True},
        ):
            assert (await app.call("PATCH", one, admin, json=change)).status == 200
        db = app.platform.facades["apikeys"].db
        for _ in range(100):
            async with db.tenant("t1", "read") as tx:
                rows = await tx.fetch("SELECT * FROM audit.events ORDER BY id")
            if any(row["event_type"] == "auth.access.success" for row in rows):
                break
            await asyncio.sleep(0.05)
        of_key = [r["event_type"].removeprefix("auth.api_key.") for r in rows if r["resource_id"] == key_id]
        assert of_key == [
            "created", "selfserve.api_key.created", "deactivated", "reactivated", "updated", "revoked",
        ]  # fmt: skip
        [success] = [row for row in rows if row["event_type"] == "auth.access.success"]
        assert (success["actor_type"], success["outcome"]) == ("api_key", "success")
        async with db.tenant("t1") as tx:
            # Another process, within the hour and after it.
            store = app.platform.facades["apikeys"].use(KeyStore)
            assert not await store.first_in_an_hour(tx, success["actor_id"])
            await tx.execute("UPDATE apikeys.keys SET success_recorded_at = now() - interval '61 minutes'")
            assert await store.first_in_an_hour(tx, success["actor_id"])
