"""Policies decide: versions, shadow, simulation, and a change that is felt at the next request."""

import asyncio
from typing import Any

import attrs
import pytest
from ragwork_testkit.platform import running

pytestmark = pytest.mark.asyncio(loop_scope="module")

DENY = "package oculus.authz\ndefault allow = false\n"


async def test_edits_activation_and_assignment_take_effect_at_once(authority: Any, rego_all: str) -> None:
    policy = await authority.policy(rego_all)
    agent = await authority.agent(policy)
    path = f"/api/v1/policies/{policy}"
    assert (await authority.token(agent)).status == 200
    await authority.call("PUT", path, {"content": DENY})
    assert (await authority.token(agent)).status == 403
    back = await authority.call("POST", f"{path}/rollback?version=1")
    assert (back.body["version"], back.body["content"]) == (3, rego_all)
    assert (await authority.token(agent)).status == 200
    await authority.call("POST", f"{path}/shadow")
    assert (await authority.token(agent)).status == 403
    await authority.call("POST", f"{path}/activate")
    assert (await authority.token(agent)).status == 200
    await authority.call("PATCH", f"/api/v1/agents/{agent['id']}", {"policy_ids": []})
    assert (await authority.token(agent)).status == 403
    await authority.call("PATCH", f"/api/v1/agents/{agent['id']}", {"policy_ids": [policy]})
    assert (await authority.token(agent)).status == 200
    assert (await authority.call("DELETE", path)).status == 204
    assert (await authority.token(agent)).status == 403
    assert (await authority.call("GET", path)).code == "POLICY_NOT_FOUND"


async def test_one_allow_among_active_policies_is_enough_and_a_shadow_one_is_only_recorded(
    authority: Any, rego_all: str
) -> None:
    shadow = await authority.policy(rego_all, mode="shadow")
    deny, reads = await authority.policy(DENY), await authority.policy()
    agent = await authority.agent(shadow, deny, reads)
    assert (await authority.token(agent, "db:read")).status == 200
    assert (await authority.token(agent, "db:write")).status == 403
    answer = await authority.call("GET", "/v1/audit/events?event_type=oauth.token_denied")
    (event,) = answer.data["items"]
    assert event["outcome"] == "failure"
    watched = event["metadata_json"]["shadow"]
    assert [(w["policy_id"], w["allowed"]) for w in watched] == [(shadow, True)]
    assert {d["policy_id"] for d in event["metadata_json"]["decisions"]} == {deny, reads}


async def test_every_version_is_kept_and_can_be_compared(authority: Any, rego_all: str) -> None:
    policy = await authority.policy(rego_all)
    path = f"/api/v1/policies/{policy}"
    answers = await asyncio.gather(
        *(authority.call("PUT", path, {"content": f"{DENY}# {n}\n"}) for n in range(20))
    )
    assert sorted(a.body["version"] for a in answers) == list(range(2, 22))
    versions = (await authority.call("GET", f"{path}/versions")).body["versions"]
    assert [v["version"] for v in versions] == list(range(21, 0, -1))
    first = (await authority.call("GET", f"{path}/versions/1")).body
    assert first["content"] == rego_all
    diff = (await authority.call("GET", f"{path}/compare?from=1&to=2")).body["diff"]
    assert '-allow { input.subject.status == "active" }' in diff
    assert (await authority.call("GET", f"{path}/versions/99")).status == 404
    assert (await authority.call("POST", f"{path}/rollback?version=99")).status == 404


async def test_what_is_no_rego_is_refused_with_its_line(authority: Any, rego_all: str) -> None:
    broken = "package oculus.authz\ndefault allow = false\nallow {\n  input.x ==\n}\n"
    refused = await authority.call("POST", "/api/v1/policies", {"name": "x", "content": broken})
    assert (refused.status, refused.code) == (400, "VALIDATION_ERROR")
    assert refused.body["error"]["details"]["line"] >= 3
    said = await authority.call("POST", "/api/v1/policies/validate", {"content": broken})
    assert (said.status, said.body["valid"]) == (200, False)
    said = await authority.call("POST", "/api/v1/policies/validate", {"content": rego_all})
    assert said.body["valid"] is True


async def test_simulation_names_the_deciding_line_and_issues_nothing(authority: Any) -> None:
    policy = await authority.policy()
    agent = await authority.agent(policy)
    ask = {"subject_id": agent["id"], "action": "db:read", "resource": "db", "context": {"x": 1}}
    said = (await authority.call("POST", "/api/v1/policies/simulate", ask)).body
    assert (said["allowed"], said["decision"], said["policy_id"]) == (True, "allow", policy)
    assert said["line"] in (3, 4, 5)
    assert said["input"]["action"] == "db:read"
    said = (await authority.call("POST", "/api/v1/policies/simulate", {**ask, "action": "db:write"})).body
    assert (said["allowed"], said["decision"]) == (False, "deny")
    said = (await authority.call("POST", "/api/v1/policies/simulate", {**ask, "content": DENY})).body
    assert said["allowed"] is False
    assert (await authority.call("GET", "/api/v1/tokens")).body["tokens"] == []


async def test_without_the_engine_nothing_is_issued_and_nobody_is_told_no(
    authority: Any, postgres: Any, rego_all: str
) -> None:
    agent = await authority.agent(await authority.policy(rego_all))
    settings = {
        "AGENT_POLICY_ENGINE": "opa",
        "OPA_URL": "http://127.0.0.1:1",
        "EGRESS_ALLOW_PRIVATE": "127.0.0.0/8",
    }
    plugins = ("directory", "apikeys", "rbac", "audit", "opa", "agents")
    async with running(postgres, plugins, settings, authority.app.database_url) as app:
        engineless = attrs.evolve(authority, app=app)
        refused = await engineless.token(agent)
        assert (refused.status, refused.code) == (503, "POLICY_ENGINE_UNAVAILABLE")
        assert int(refused.headers["Retry-After"]) >= 1
        ask = {"subject_id": agent["id"], "action": "db:read"}
        assert (await engineless.call("POST", "/api/v1/policies/simulate", ask)).status == 503
        strict = {
            "grant_type": "client_credentials",
            "client_id": agent["client_id"],
            "client_secret": agent["client_secret"],
            "scope": "db:read",
        }
        refused = await engineless.form("/oauth2/token", strict)
        assert (refused.status, refused.body["error"]) == (503, "temporarily_unavailable")
