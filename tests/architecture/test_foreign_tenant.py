"""Every route of the assembled server, called as another tenant and with too little role. Generated from the plan."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from ragwork_hooks.auth import Role
from ragwork_hooks.http import AnyRoute
from ragwork_testkit.platform import ALL_PLUGINS, DOOR_SETTINGS, Answer, Running

Start = Callable[..., AbstractAsyncContextManager[Running]]
DOCUMENT = {"corpus_id": "c1", "document_id": "d1", "text": "The secret word of tenant one is heliotrope."}
#: A body that is valid for each route that takes one, aimed at what belongs to tenant t1.
BODIES: dict[str, Any] = {
    "corpora.create": {"id": "c1", "name": "mine"},
    "corpora.patch": {"name": "taken"},
    "documents.create_text": DOCUMENT,
    "documents.reindex": {},
    "retrieval.retrieve": {"corpus_id": "c1", "query": "secret word"},
    "authz.policies.create": {
        "name": "n",
        "effect": "allow",
        "resource_type": "document",
        "action": "read",
        "condition_json": {},
    },
    "authz.policies.patch": {"name": "taken"},
    "authz.policies.simulate": {"resource_type": "document", "action": "read"},
    "plans.assign": {"plan_id": "enterprise"},
    "plans.override": {"feature_key": "tts", "enabled": True},
    "quotas.patch": {"daily_requests_limit": 1},
    "selfserve.api_keys.create": {"role": "reader"},
    "selfserve.plan.ask_upgrade": {"target_plan": "enterprise"},
    "run.create": {"session_id": "s1", "corpus_id": "c1", "message": "What is the secret word?"},
}
_CORE = "urn:ietf:params:scim:schemas:core:2.0"
CLIENT_SECRET = '{"tenant_id": "t1", "client_secret": "t1-only"}'
PROVIDER = {
    "type": "oidc",
    "name": "t1-only",
    "issuer": "https://id.example.com",
    "client_id": "c",
    "client_secret_ref": "SSO_CLIENT_SECRET_T1",
    "auth_url": "https://id.example.com/authorize",
    "token_url": "https://id.example.com/token",
    "jwks_url": "https://id.example.com/jwks",
    "default_role": "reader",
}
SECRETS = ("heliotrope", "t1-only")
#: Everything at once; each test gets it as ``platform``.
ASSEMBLY: dict[str, Any] = {
    "plugins": ALL_PLUGINS,
    "settings": {**DOOR_SETTINGS, "SSO_CLIENT_SECRET_T1": CLIENT_SECRET},
}
#: Writes that the contract exempts from idempotency keys.
IDENTITY = ("sso.", "identity.", "approvals.", "scim.", "provisioning.", "oauth.")
#: Requests with a body that change nothing.
ASKING = {
    "retrieval.retrieve", "run.create", "scim.users.search", "scim.groups.search", "scim.search", "scim.bulk",
    "oauth.introspect", "policies.simulate", "policies.validate", "identity.providers.test",
}  # fmt: skip
NOT_REPLAYED = {
    "api_keys.patch",
    "billing.webhook_test",
    "maintenance.run",
    "rollouts.killswitches.patch",
    "rollouts.canary.patch",
    "authz.policies.simulate",
}


def filled(route: AnyRoute, ids: dict[str, str]) -> str:
    path = route.path
    # Agents have policies and keys of their own.
    own = {name.removeprefix("agents:"): value for name, value in ids.items() if name.startswith("agents:")}
    for name, value in {**ids, **(own if path.startswith("/api/v1/") else {})}.items():
        path = path.replace("{" + name + "}", value)
    assert "{" not in path, f"teach this test an id of tenant t1 for {route.path}"
    return path


async def owned_by_t1(app: Running) -> tuple[str, dict[str, str]]:
    """Things of every kind that belong to t1, and their ids by path parameter."""
    key = await app.key("t1", "admin", "owner")
    await app.call("POST", "/v1/corpora", key, json={"id": "c1", "name": "t1-only"})
    await app.call("POST", "/v1/documents/text", key, json=DOCUMENT)
    await settled(app, key, "d1")
    granted = await app.call(
        "POST",
        "/v1/admin/authz/documents/d1/permissions",
        key,
        json={"principal_type": "user", "principal_id": "x", "permission": "read", "create": True},
    )
    await app.events("/v1/run", key, {"session_id": "s1", "corpus_id": "c1", "message": "heliotrope?"})
    keys = await app.call("GET", "/v1/admin/api-keys", key)
    policy = await app.call(
        "POST", "/v1/admin/authz/policies", key, json=BODIES["authz.policies.create"] | {"name": "t1-only"}
    )
    events = await app.call("GET", "/v1/audit/events", key)
    questions = {"name": "t1-only", "questions": [{"question": "heliotrope?", "documents": ["d1"]}]}
    asked = (await app.call("POST", "/v1/admin/evals/sets", key, json=questions)).data["id"]
    evaluation = await app.call("POST", "/v1/admin/evals", key, json={"set_id": asked, "corpus_id": "c1"})
    return key, {
        **await identities_of_t1(app, key),
        "set_id": asked,
        "eval_id": evaluation.data["id"],
        "other_id": evaluation.data["id"],
        "tenant_id": "t1",
        "policy_id": policy.data["id"],
        "event_id": str(events.data["items"][0]["id"]),
        "request_id": events.headers["X-Request-Id"],
        "corpus_id": "c1",
        "document_id": "d1",
        "permission_id": granted.data["id"],
        "session_id": "s1",
        "key_id": keys.data["items"][0]["key_id"],
        "audio_id": "AAAAAAAAAAAAAAAAAAAAAAAA",
    }


async def identities_of_t1(app: Running, key: str) -> dict[str, str]:
    """A provider, an agent with policy, token and API key, a SCIM user and group."""

    async def made(path: str, body: Any, by: str = key) -> Any:
        answer = await app.call("POST", path, by, json=body)
        assert answer.status < 300, (path, answer.text)
        return answer.body.get("data", answer.body)

    provider = await made("/v1/admin/identity/providers", PROVIDER)
    rules = {
        "name": "t1-only",
        "content": 'package oculus.authz\ndefault allow = false\nallow { input.action == "db:read" }',
    }
    policy = await made("/api/v1/policies", rules)
    agent = await made("/api/v1/agents", {"name": "t1-only", "policy_ids": [policy["id"]]})
    form = {
        "grant_type": "client_credentials",
        "client_id": agent["client_id"],
        "client_secret": agent["client_secret"],
        "scope": "db:read",
    }
    assert (await app.call("POST", "/oauth/token", data=form)).status == 200
    listed = (await app.call("GET", "/api/v1/tokens", key)).body
    tokens = listed if isinstance(listed, list) else next(v for v in listed.values() if isinstance(v, list))
    agent_key = await made(f"/api/v1/agents/{agent['id']}/api-keys", {"name": "k", "scopes": ["db:read"]})
    scim = (await made("/v1/admin/identity/scim/token/create", None))["token"]
    user = await made("/v1/scim/v2/Users", {"schemas": [f"{_CORE}:User"], "userName": "t1-only"}, scim)
    group = await made("/v1/scim/v2/Groups", {"schemas": [f"{_CORE}:Group"], "displayName": "t1-only"}, scim)
    return {
        "provider_id": provider["id"],
        "agent_id": agent["id"],
        "agents:policy_id": policy["id"],
        "agents:key_id": agent_key.get("id") or agent_key["key_id"],
        "jti": tokens[0]["jti"],
        "kid": tokens[0].get("kid", "none"),
        "delegation_id": "none",
        "version": "1",
        "user_id": user["id"],
        "group_id": group["id"],
        "name": "User",
        "endpoint": "Users",
        "urn": f"{_CORE}:User",
    }


async def settled(app: Running, key: str, document: str) -> None:
    import asyncio

    for _ in range(200):
        answer = await app.call("GET", f"/v1/documents/{document}", key)
        if answer.data["status"] in ("succeeded", "failed"):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("never indexed")


async def called(app: Running, route: AnyRoute, ids: dict[str, str], key: str | None) -> Answer:
    body = BODIES.get(route.name)
    if body is None and route.body_kind == "json":
        body = {}
    return await app.call(route.method, filled(route, ids), key, json=body)


# Slow: calls every route as another tenant.
async def test_no_route_shows_or_changes_anything_of_another_tenant(platform: Start) -> None:
    async with platform(**ASSEMBLY) as app:
        owner, ids = await owned_by_t1(app)
        before = await app.call("GET", "/v1/documents/d1", owner)
        for number, route in enumerate(app.platform.routes):
            # A tenant of its own for each route: what one call makes must not excuse the next.
            foreign = await app.key(f"t{number + 2}", "admin", "owner")
            answer = await called(app, route, ids, foreign)
            assert answer.status < 500, (route.name, answer.text)
            assert not [s for s in SECRETS if s in answer.text], route.name
            if "{" in route.path and route.scope != "public":
                missing = await called(app, route, dict.fromkeys(ids, "no-such-id"), foreign)
                assert (answer.status, shape(answer)) == (missing.status, shape(missing)), route.name
        assert (await app.call("GET", "/v1/documents/d1", owner)).data == before.data
        assert (await app.call("GET", "/v1/corpora/c1", owner)).data["name"] == "t1-only"


def shape(answer: Answer) -> Any:
    return answer.body["error"]["code"] if answer.body and "error" in answer.body else None


async def test_every_route_demands_a_credential_and_its_role(platform: Start) -> None:
    async with platform(**ASSEMBLY) as app:
        _, ids = await owned_by_t1(app)
        reader = await app.key("t1", "reader", "low")
        for route in app.platform.routes:
            if route.scope == "public" or route.action is None:
                continue
            anonymous = await called(app, route, ids, None)
            assert anonymous.status == 401, (route.name, anonymous.text)
            if route.error_format is None:
                assert anonymous.code == "AUTH_UNAUTHORIZED", route.name
            if route.action.role > Role.READER:
                low = await called(app, route, ids, reader)
                assert low.status == 403 or (route.error_format is not None and low.status == 401), route.name


@pytest.mark.parametrize("alias", ["/corpora", "/documents/d1"])
async def test_an_unversioned_alias_decides_like_its_route(platform: Start, alias: str) -> None:
    async with platform(**ASSEMBLY) as app:
        owner, _ = await owned_by_t1(app)
        foreign = await app.key("t2", "admin", "owner")
        for key in (owner, foreign, None):
            new = await app.call("GET", f"/v1{alias}", key)
            old = await app.call("GET", alias, key)
            assert old.status == new.status
            assert old.headers["Deprecation"] == "true"
            if new.status == 200:
                assert old.body == new.data


async def test_routes_declare_what_the_contract_asks_of_them(platform: Start) -> None:
    async with platform(**ASSEMBLY) as app:
        for route in app.platform.routes:
            changes = route.method in ("POST", "PATCH", "PUT", "DELETE")
            if changes and route.name not in ASKING and route.scope != "public":
                assert route.audit_event, f"{route.name} changes something and names no audit event"
                exempt = route.name in NOT_REPLAYED or route.name.startswith(IDENTITY)
                assert route.idempotency != "none" or exempt, route.name
                assert route.rate_class in ("mutation", "identity"), route.name
            if route.scope != "public":
                assert route.rate_class != "public", route.name
