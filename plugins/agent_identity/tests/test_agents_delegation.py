"""Acting for somebody: only what both may do, only less than was given, only as long."""

import asyncio
from typing import Any

import jwt
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


async def _subject(authority: Any, agent: dict[str, Any], key: str, *scopes: str) -> dict[str, Any]:
    body = {"agent_id": agent["id"], "scopes": list(scopes), "ttl_seconds": 300}
    answer = await authority.call("POST", "/api/v1/delegations", body, key)
    assert answer.status == 201, answer.text
    return dict(answer.body)


async def _exchanged(authority: Any, agent: dict[str, Any], subject: str, **more: str) -> Any:
    form = {
        "grant_type": EXCHANGE,
        "client_id": agent["client_id"],
        "client_secret": agent["client_secret"],
        "subject_token": subject,
        **more,
    }
    return await authority.form("/oauth/token", form)


async def test_a_delegated_token_names_agent_and_person_and_ends_with_the_delegation(
    authority: Any, rego_all: str
) -> None:
    policy = await authority.policy(rego_all)
    agent, other = await authority.agent(policy), await authority.agent(policy)
    ann = await authority.app.key(authority.tenant, "reader", "ann")
    given = await _subject(authority, agent, ann, "document.read", "db:read")
    answer = await _exchanged(authority, agent, given["subject_token"], requested_scope="document.read")
    assert answer.status == 200, answer.text
    token = answer.body["access_token"]
    claims = claims_of(token)
    assert (claims["sub"], claims["on_behalf_of"], claims["scope"]) == (agent["id"], "ann", "document.read")
    assert claims["act"] == {"sub": agent["id"]}
    assert answer.body["expires_in"] <= 300
    assert "refresh_token" not in answer.body
    wider = await _exchanged(authority, agent, given["subject_token"], requested_scope="document.delete")
    assert (wider.status, wider.code) == (403, "CAPABILITY_ESCALATION")
    assert (await _exchanged(authority, other, given["subject_token"])).status == 401
    strict = await authority.form(
        "/oauth2/token",
        {
            "grant_type": EXCHANGE,
            "client_id": agent["client_id"],
            "client_secret": agent["client_secret"],
            "subject_token": given["subject_token"],
            "subject_token_type": JWT_TYPE,
        },
    )
    assert claims_of(strict.body["access_token"])["sub"] == "ann"
    ended = await authority.call("DELETE", f"/api/v1/delegations/{given['id']}", key=ann)
    assert ended.status == 200
    assert claims["jti"] in await authority.revoked()
    assert (await _exchanged(authority, agent, given["subject_token"])).status >= 400


async def test_an_agent_cannot_hand_on_its_person(authority: Any, rego_all: str) -> None:
    agent = await authority.agent(await authority.policy(rego_all))
    token = (await authority.token(agent, "agent_delegation.manage")).body["access_token"]
    body = {"agent_id": agent["id"], "scopes": ["db:read"]}
    assert (await authority.call("POST", "/api/v1/delegations", body, token)).status == 403


async def test_a_chain_only_narrows_and_falls_with_its_first_link(authority: Any, rego_all: str) -> None:
    policy = await authority.policy(rego_all)
    held = {"max_amount_cents": 500, "time_bounds": {"hours": "00:00-23:59", "timezone": "UTC"}}
    agents = [await authority.agent(policy, constraints=held)]
    agents += [await authority.agent(policy) for _ in range(4)]

    async def delegate(token: str, child: int, **more: Any) -> Any:
        body = {
            "child_agent_id": agents[child]["id"],
            "capabilities": ["crm:read"],
            "ttl_seconds": 86_400,
            **more,
        }
        return await authority.call("POST", "/oauth/delegate", body, token)

    root = (await authority.token(agents[0], "crm:read crm:notes")).body["access_token"]
    one = (await delegate(root, 1, additional_constraints={"max_amount_cents": 100})).body["access_token"]
    assert claims_of(one)["exp"] <= claims_of(root)["exp"]
    assert claims_of(one)["agent"]["constraints"]["max_amount_cents"] == 100
    assert (claims_of(one)["sub"], claims_of(one)["act"]) == (agents[1]["id"], {"sub": agents[0]["id"]})
    for looser in (
        {"max_amount_cents": 101},
        {"time_bounds": {"hours": "00:00-00:00", "timezone": "UTC"}},
        {"time_bounds": {"hours": "01:00-02:00", "timezone": "Europe/Berlin"}},
    ):
        assert (await delegate(one, 2, additional_constraints=looser)).code == "CONSTRAINT_ESCALATION"
    assert (await delegate(one, 2, capabilities=["crm:notes"])).code == "CAPABILITY_ESCALATION"
    assert (await delegate(one, 2, capabilities=[])).status == 400
    two = (await delegate(one, 2)).body["access_token"]
    three = (await delegate(two, 3)).body["access_token"]
    assert (await delegate(three, 4)).code == "DELEGATION_DEPTH_EXCEEDED"
    assert (await delegate(root, 1, child_agent_id="none")).code == "AGENT_NOT_FOUND"
    await authority.app.call("POST", "/oauth/revoke", authority.admin, data={"token": root})
    said = await asyncio.gather(*(authority.introspect(t) for t in (root, one, two, three)))
    assert all(answer == {"active": False} for answer in said)


async def test_revoking_the_parent_leaves_no_child_that_raced_it(authority: Any, rego_all: str) -> None:
    policy = await authority.policy(rego_all)
    parent, child = await authority.agent(policy), await authority.agent(policy)
    root = (await authority.token(parent, "crm:read")).body["access_token"]
    body = {"child_agent_id": child["id"], "capabilities": ["crm:read"], "ttl_seconds": 60}
    work = [authority.call("POST", "/oauth/delegate", body, root) for _ in range(20)]
    work.insert(10, authority.app.call("POST", "/oauth/revoke", authority.admin, data={"token": root}))
    answers = await asyncio.gather(*work)
    del answers[10]
    issued = [a.body["access_token"] for a in answers if a.status == 200]
    said = await asyncio.gather(*(authority.introspect(t) for t in issued))
    assert all(answer == {"active": False} for answer in said)
    assert {a.status for a in answers} <= {200, 401}


async def test_an_agent_on_the_platform_may_do_what_scope_role_and_person_allow(
    authority: Any, rego_all: str
) -> None:
    agent = await authority.agent(await authority.policy(rego_all))
    own = (await authority.token(agent, "agent_identity.read")).body["access_token"]
    assert (await authority.call("GET", "/api/v1/agents", key=own)).status == 403  # only a reader
    scopes = "agent_identity.read role:admin"
    admin = (await authority.token(agent, scopes)).body["access_token"]
    assert (await authority.call("GET", "/api/v1/agents", key=admin)).status == 200
    outside = await authority.call("POST", "/api/v1/signing-keys/rotate", key=admin)
    assert outside.status == 403
    # The same agent for a reader is a reader, whatever its own scopes say.
    ann = await authority.app.key(authority.tenant, "reader", "ann")
    given = await _subject(authority, agent, ann, *scopes.split())
    for_ann = (await _exchanged(authority, agent, given["subject_token"])).body["access_token"]
    assert (await authority.call("GET", "/api/v1/agents", key=for_ann)).status == 403
    given = await _subject(authority, agent, authority.admin, *scopes.split())
    for_root = (await _exchanged(authority, agent, given["subject_token"])).body["access_token"]
    assert (await authority.call("GET", "/api/v1/agents", key=for_root)).status == 200
    elsewhere = (await authority.token(agent, scopes, audience="https://crm.example")).body["access_token"]
    assert (await authority.call("GET", "/api/v1/agents", key=elsewhere)).status == 401
    await authority.app.call("POST", "/oauth/revoke", authority.admin, data={"token": admin})
    await asyncio.sleep(0.2)
    assert (await authority.call("GET", "/api/v1/agents", key=admin)).status == 401


async def test_an_agents_api_key_is_judged_by_policy_at_every_use(authority: Any, rego_all: str) -> None:
    policy = await authority.policy(rego_all)
    agent = await authority.agent(policy)
    path = f"/api/v1/agents/{agent['id']}/api-keys"
    body = {"scopes": ["agent_identity.read", "role.admin"]}
    made = (await authority.call("POST", path, body)).body
    assert (await authority.call("GET", "/api/v1/agents", key=made["api_key"])).status == 200
    await authority.call("POST", f"/api/v1/policies/{policy}/deactivate")
    await asyncio.sleep(0.2)
    assert (await authority.call("GET", "/api/v1/agents", key=made["api_key"])).status == 403
    await authority.call("POST", f"/api/v1/policies/{policy}/activate")
    await authority.call("DELETE", f"{path}/{made['id']}")
    await asyncio.sleep(0.2)
    assert (await authority.call("GET", "/api/v1/agents", key=made["api_key"])).status == 401
    answers = await asyncio.gather(*(authority.call("POST", path, body) for _ in range(15)))
    assert sorted(a.status for a in answers) == [*[201] * 10, *[409] * 5]


async def test_the_sdks_token_opens_what_it_synchronises_and_nothing_else(
    authority: Any, rego_all: str
) -> None:
    agent = await authority.agent(await authority.policy(rego_all))
    sdk = (await authority.token(agent, "stripe:read")).body["sdk_service_token"]
    assert (await authority.call("GET", "/v1/sync/capability-maps", key=sdk)).body == {"integrations": {}}
    assert (await authority.call("GET", "/v1/credentials/fetch?integration=github", key=sdk)).status == 403
    for path in ("/api/v1/agents", "/api/v1/delegations", "/v1/audit/events"):
        assert (await authority.call("GET", path, key=sdk)).status == 403
    assert (await authority.call("GET", "/v1/sync/capability-maps")).status == 403
    too_many = {"events": [{}] * 101}
    assert (await authority.call("POST", "/v1/audit/events/batch", too_many, sdk)).status == 400
    await authority.call("POST", f"/api/v1/agents/{agent['id']}/suspend")
    await asyncio.sleep(0.2)
    assert (await authority.call("GET", "/v1/sync/capability-maps", key=sdk)).status == 401


async def test_constraints_hold_on_the_platforms_own_routes(authority: Any, rego_all: str) -> None:
    agent = await authority.agent(
        await authority.policy(rego_all), constraints={"task_context_required": True}
    )
    scope = "agent_identity.read role:admin"
    without = (await authority.token(agent, scope)).body["access_token"]
    assert (await authority.call("GET", "/api/v1/agents", key=without)).status == 401
    with_task = (await authority.token(agent, scope, task_id="t")).body["access_token"]
    assert (await authority.call("GET", "/api/v1/agents", key=with_task)).status == 200
