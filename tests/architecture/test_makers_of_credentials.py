"""No credential makes a stronger one: who is limited to scopes or acts for somebody makes none, by any route."""

import inspect
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import attrs
import pytest
from ragwork_hooks.auth import ApiKeys, Principal, Role, may_make_credential
from ragwork_hooks.authz import Action, Deny, Resource
from ragwork_hooks.errors import Problem
from ragwork_hooks.http import AnyRoute
from ragwork_testkit.platform import ALL_PLUGINS, DOOR_SETTINGS, Running

Start = Callable[..., AbstractAsyncContextManager[Running]]
ASSEMBLY: dict[str, Any] = {
    "plugins": ALL_PLUGINS,
    "settings": DOOR_SETTINGS,
}
#: Names of fields that hold a credential which is shown once.
SHOWN = {"token", "api_key", "client_secret", "enroll_token", "subject_token", "secret", "access_token"}
#: Mutations that open no door. A new route is added here, or its action says ``makes_credential``.
OPENS_NO_DOOR = {
    # content, and who may read it
    "corpora.create", "corpora.patch", "corpora.delete", "documents.upload", "documents.ingest_text",
    "documents.reindex", "documents.cancel", "documents.delete", "documents.permissions.give",
    "documents.permissions.bulk", "documents.permissions.revoke", "sessions.delete",
    # questions about content, and opinions of answers
    "evals.sets.create", "evals.sets.delete", "evals.create", "evals.delete", "evals.feedback.give",
    # plans, limits and switches
    "plans.assign", "plans.override", "quotas.patch", "rollouts.killswitches.patch", "rollouts.canary.patch",
    "selfserve.plan.ask_upgrade",
    # they only end or narrow
    "selfserve.api_keys.revoke", "provisioning.tokens.revoke", "sso.logout", "oauth.revoke", "agents.delete",
    "agents.suspend", "agents.revoke", "agents.keys.revoke", "policies.delete", "policies.shadow",
    "policies.deactivate", "tokens.revoke", "signing_keys.compromise", "delegations.revoke",
    "integrations.delete",
    # what a SCIM token is for: people, whose roles the directory guards
    "scim.users.create", "scim.users.replace", "scim.users.patch", "scim.users.delete", "scim.groups.create",
    "scim.groups.replace", "scim.groups.patch", "scim.groups.delete",
    # what an agent did
    "sync.events",
}  # fmt: skip


def shows_a_secret(route: AnyRoute) -> bool:
    """Whether an answer of the route has something that a repeated request must not be shown."""
    source = inspect.getsource(route.handler)
    fields = {f.name for f in attrs.fields(route.response)} if attrs.has(route.response) else set()
    return "replay=" in source or bool(fields & SHOWN)


def mutates(route: AnyRoute) -> bool:
    return route.scope != "public" and route.transaction == "write"


async def test_every_route_that_makes_a_credential_says_so(platform: Start) -> None:
    async with platform(**ASSEMBLY) as app:
        routes = {route.name: route for route in app.platform.routes if mutates(route)}
    marked = {name for name, route in routes.items() if route.action and route.action.makes_credential}
    showing = {name for name, route in routes.items() if shows_a_secret(route)}
    assert {
        "agents.create",
        "provisioning.tokens.create",
        "selfserve.api_keys.create",
        "delegations.create",
    } <= showing
    assert showing <= marked, showing - marked
    assert not marked & OPENS_NO_DOOR
    undecided = set(routes) - marked - OPENS_NO_DOOR
    assert not undecided, f"say whether these make a credential: {sorted(undecided)}"


async def _limited(app: Running, admin: str, scopes: list[str]) -> tuple[str, str]:
    """Tokens of an agent with all of ``scopes``: its own, and for the administrator."""

    async def made(path: str, body: Any) -> Any:
        answer = await app.call("POST", path, admin, json=body)
        assert answer.status == 201, answer.text
        return answer.body

    text = 'package oculus.authz\ndefault allow = false\nallow { input.subject.status == "active" }'
    policy = await made("/api/v1/policies", {"name": "all", "content": text})
    agent = await made("/api/v1/agents", {"name": "a", "policy_ids": [policy["id"]]})
    given = await made("/api/v1/delegations", {"agent_id": agent["id"], "scopes": scopes})
    proof = {"client_id": agent["client_id"], "client_secret": agent["client_secret"]}
    own = {"grant_type": "client_credentials", "scope": " ".join(scopes), **proof}
    exchange = "urn:ietf:params:oauth:grant-type:token-exchange"
    theirs = {"grant_type": exchange, "subject_token": given["subject_token"], **proof}
    answers = [await app.call("POST", "/oauth/token", data=form) for form in (own, theirs)]
    assert [answer.status for answer in answers] == [200, 200], [answer.text for answer in answers]
    first, second = (str(answer.body["access_token"]) for answer in answers)
    return first, second


async def test_an_agent_makes_no_credential_alone_or_for_an_administrator(platform: Start) -> None:
    async with platform(**ASSEMBLY) as app:
        admin = await app.key("t1", "admin", "root")
        making = [r for r in app.platform.routes if r.action is not None and r.action.makes_credential]
        assert len(making) > 20
        scopes = sorted({route.action.name for route in making if route.action})
        for token in await _limited(app, admin, [*scopes, "role:admin", "agent_identity.read"]):
            assert (await app.call("GET", "/api/v1/agents", token)).status == 200
            for route in making:
                path = route.path
                for name in ("{", "}"):
                    path = path.replace(name, "")
                answer = await app.call(
                    route.method, path, token, json={} if "json" in route.body_kind else None
                )
                assert answer.status == 403, (route.name, answer.text)
                assert "acts for somebody" in answer.text, (route.name, answer.text)


async def test_the_guard_stands_outside_http_too(platform: Start) -> None:
    async with platform(**ASSEMBLY) as app:
        await app.key("t1", "admin", "root")
        root = Principal(tenant_id="t1", user_id="root", credential_id="k", kind="api_key", role=Role.ADMIN)
        bound = attrs.evolve(root, scopes=frozenset({"api_key.create"}))
        acting = attrs.evolve(root, on_behalf_of=root)
        services = app.platform.facades["selfserve"]
        for who in (bound, acting):
            async with services.db.tenant("t1") as tx:
                with pytest.raises(Problem, match="acts for somebody"):
                    await services.use(ApiKeys).create(
                        tx, who, name=None, role=Role.READER, expires_in_days=None
                    )
                action = Action(name="api_key.create", role=Role.ADMIN, makes_credential=True)
                resource = Resource(kind="api_key", id="new", tenant_id="t1")
                decision = await services.authorize(who, action, resource, tx)
                assert isinstance(decision.verdict, Deny)
        with pytest.raises(Problem, match="can't be admin"):
            may_make_credential(attrs.evolve(root, role=Role.EDITOR), role=Role.ADMIN)
        with pytest.raises(Problem, match="platform scope"):
            may_make_credential(root, platform=True)


async def test_what_a_key_with_an_end_makes_ends_with_it(platform: Start) -> None:
    async with platform(**ASSEMBLY) as app:
        admin = await app.key("t1", "admin", "root")

        async def made(path: str, body: Any, key: str) -> Any:
            answer = await app.call("POST", path, key, json=body)
            assert answer.status in (200, 201), answer.text
            return answer.body.get("data", answer.body)

        ending = await made("/v1/self-serve/api-keys", {"role": "admin", "expires_in_days": 1}, admin)
        key, end = ending["api_key"], ending["expires_at"]
        for days in (None, 400):
            again = await made("/v1/self-serve/api-keys", {"role": "admin", "expires_in_days": days}, key)
            assert again["expires_at"] == end
        scim = await made("/v1/admin/identity/scim/token/create", None, key)
        assert scim["expires_at"] <= end
        agent = await made("/api/v1/agents", {"name": "a"}, key)
        path = f"/api/v1/agents/{agent['id']}"
        own = await made(f"{path}/api-keys", {"scopes": ["db:read"], "expires_in_days": 365}, key)
        assert own["expires_at"] <= end
        key_id = (await app.call("GET", "/v1/admin/api-keys", key)).data["items"][0]["key_id"]
        later = {"expires_at": "2099-01-01T00:00:00Z"}
        refused = await app.call("PATCH", f"/v1/admin/api-keys/{key_id}", key, json=later)
        assert (refused.status, refused.code) == (403, "AUTH_FORBIDDEN")
        enrol = await made(f"{path}/enroll-token", None, key)
        await app.call("POST", "/oauth/enroll", data={"enroll_token": enrol["enroll_token"]})
        services = app.platform.facades["agents"]
        async with services.db.tenant("t1", "read") as tx:
            rows = await tx.fetch(
                "SELECT expires_at FROM agents.credentials WHERE tenant_id = ragwork.tenant()"
            )
        assert rows
        assert all(
            row["expires_at"] is not None and row["expires_at"].isoformat()[:10] <= end[:10] for row in rows
        )
