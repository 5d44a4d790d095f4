"""Tokens: what they open, what they don't, and how they end."""

import asyncio
from typing import Any

import asyncpg
import pytest
from ragwork_scim.tokens.token_format import SCIM

pytestmark = pytest.mark.asyncio(loop_scope="module")
ADMIN = "/v1/admin/identity/scim"
CONFIG = "/v1/scim/v2/ServiceProviderConfig"


async def test_a_token_is_shown_once_and_opens_scim_alone(app: Any, scim: Any) -> None:
    made = await app.call("POST", f"{ADMIN}/token/create", scim.admin)
    assert (made.status, set(made.data)) == (201, {"token_id", "token_prefix", "token", "expires_at"})
    token = made.data["token"]
    assert (token[:8], token[:12]) == ("nrgscim_", made.data["token_prefix"])
    assert (await app.call("GET", CONFIG, token)).status == 200
    listed = await app.call("GET", f"{ADMIN}/tokens", scim.admin)
    assert (len(listed.data["items"]), token in listed.text) == (2, False)
    for method, path in (
        ("POST", f"{ADMIN}/token/create"), ("GET", f"{ADMIN}/tokens"), ("POST", f"{ADMIN}/token/revoke"),
        ("GET", f"{ADMIN}/groups"), ("GET", "/v1/admin/api-keys"), ("GET", "/v1/admin/plans"),
        ("GET", "/v1/audit/events"),
    ):  # fmt: skip
        refused = await app.call(method, path, token, json={"token_id": "x"} if method == "POST" else None)
        assert (refused.status, refused.code) == (403, "AUTH_FORBIDDEN"), path


async def test_no_other_credential_speaks_scim(app: Any, scim: Any) -> None:
    for role in ("reader", "editor", "admin"):
        refused = await app.call("GET", CONFIG, await app.key(scim.tenant, role, platform=True))
        assert refused.status in (401, 403)
    nobody = await app.call("GET", CONFIG, headers={"Accept": "application/scim+json"})
    assert (nobody.status, nobody.body["status"]) == (401, "401")
    assert nobody.headers["WWW-Authenticate"] == "Bearer"
    for made_up in (
        scim.token[:-1],
        scim.token[:-1] + ("1" if scim.token[-1] == "0" else "0"),
        SCIM.mint()[1],
        "nrgscim_",
        "nrgscim_x_y",
    ):
        refused = await app.call("GET", CONFIG, made_up)
        assert (refused.status, refused.body["status"]) == (401, "401")


async def test_a_revoked_token_is_over_at_once_on_every_server(app: Any, scim: Any, serve: Any) -> None:
    async with serve(app.database_url) as far:
        for where in (app, far):
            assert (await where.call("GET", CONFIG, scim.token)).status == 200
        listed = (await app.call("GET", f"{ADMIN}/tokens", scim.admin)).data["items"]
        body = {"token_id": listed[0]["token_id"]}
        ended = await far.call("POST", f"{ADMIN}/token/revoke", scim.admin, json=body)
        assert (ended.status, ended.data["revoked"]) == (200, True)
        again = await far.call("POST", f"{ADMIN}/token/revoke", scim.admin, json=body)
        assert again.data == ended.data
        await asyncio.sleep(1)
        for where in (app, far):
            assert (await where.call("GET", CONFIG, scim.token)).body["status"] == "401"
    missing = await app.call("POST", f"{ADMIN}/token/revoke", scim.admin, json={"token_id": "none"})
    assert (missing.status, missing.code) == (404, "NOT_FOUND")


async def test_twenty_rotations_give_one_successor(app: Any, scim: Any, other: Any) -> None:
    token_id = SCIM.id_of(scim.token)
    body = {"token_id": token_id, "overlap_hours": 1}
    path = f"{ADMIN}/token/rotate"
    raced = await asyncio.gather(*(app.call("POST", path, scim.admin, json=body) for _ in range(20)))
    assert sorted(a.status for a in raced) == [201] + [409] * 19
    made = next(a.data for a in raced if a.status == 201)
    for token in (scim.token, made["token"]):
        assert (await app.call("GET", CONFIG, token)).status == 200
    at_once = await app.call(
        "POST", path, scim.admin, json={"token_id": made["token_id"], "overlap_hours": 0}
    )
    assert at_once.status == 201
    assert (await app.call("GET", CONFIG, made["token"])).body["status"] == "401"
    foreign = await app.call("POST", path, other.admin, json={"token_id": at_once.data["token_id"]})
    assert foreign.status == 404


async def test_an_expired_token_is_over_by_database_time(app: Any, scim: Any) -> None:
    connection = await asyncpg.connect(app.database_url)
    await connection.execute(
        "UPDATE scim.tokens SET expires_at = now() + interval '0.4 s' WHERE id = $1", SCIM.id_of(scim.token)
    )
    await connection.close()
    assert (await app.call("GET", CONFIG, scim.token)).status == 200
    await asyncio.sleep(0.5)
    assert (await app.call("GET", CONFIG, scim.token)).body["status"] == "401"


async def test_use_is_noted_without_being_waited_for(app: Any, scim: Any) -> None:
    await app.call("GET", CONFIG, scim.token)
    ticker = next(t for t in app.platform.plan.tickers if t.name == "scim.last_used")
    await ticker.run()
    listed = await app.call("GET", f"{ADMIN}/tokens", scim.admin)
    assert listed.data["items"][0]["last_used_at"] is not None


async def test_plan_and_switch_close_the_door(serve: Any) -> None:
    async with serve(SCIM_ENABLED="false") as app:
        refused = await app.call("POST", f"{ADMIN}/token/create", await app.key("t1"))
        assert (refused.status, refused.code) == (403, "IDENTITY_FEATURE_DISABLED")
    async with serve(PLAN_DEFAULT="pro") as app:
        refused = await app.call("POST", f"{ADMIN}/token/create", await app.key("t1"))
        assert (refused.status, refused.code) == (403, "FEATURE_NOT_ENABLED")
        assert refused.body["error"]["details"]["feature_key"] == "feature.identity.scim"


async def test_every_change_is_on_record(app: Any, scim: Any) -> None:
    user = await scim.user("ann")
    group = await scim.group("admins", user["id"])
    await scim.bind(group["id"], "admin")
    await scim.patch(f"/Users/{user['id']}", {"op": "replace", "path": "active", "value": False})
    await scim.patch(f"/Users/{user['id']}", {"op": "replace", "path": "active", "value": False})
    await scim("DELETE", f"/Users/{user['id']}")
    events = (await app.call("GET", "/v1/audit/events", scim.admin, params={"limit": "50"})).data["items"]
    seen = [(e["event_type"], e["actor_type"], e["resource_id"]) for e in reversed(events)]
    assert [one for one in seen if one[0].startswith("identity.") and "token" not in one[0]] == [
        ("identity.scim.user.created", "scim_token", user["id"]),
        ("identity.scim.group.updated", "scim_token", group["id"]),
        ("identity.role.changed", "api_key", user["id"]),
        ("identity.scim.group.updated", "api_key", group["id"]),
        ("identity.scim.user.disabled", "scim_token", user["id"]),
        ("identity.scim.user.deleted", "scim_token", user["id"]),
    ]
    assert scim.token not in str(events)
