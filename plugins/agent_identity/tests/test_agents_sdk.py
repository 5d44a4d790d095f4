"""The published Python SDK of the Oculus platform, unmodified, against this server."""

import asyncio
from typing import Any

import pytest
from oculus_sdk import JwksVerifier, OculusClient
from oculus_sdk.exceptions import (
    DelegationError,
    OculusAPIError,
    OculusAuthError,
    OculusStartupError,
    TokenRevokedException,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK reads ``oculus.yaml`` of the working directory."""
    monkeypatch.chdir(tmp_path)


async def _started(authority: Any, agent: dict[str, Any], *scopes: str) -> OculusClient:
    client = OculusClient(
        agent["client_id"],
        agent["client_secret"],
        authority.app.base,
        task_id="task-1",
        scopes=list(scopes),
    )
    await asyncio.to_thread(client.startup)
    return client


async def test_startup_synchronises_capabilities_and_credentials(authority: Any, rego_all: str) -> None:
    body = {"integration": "stripe", "credential_type": "stripe_secret_key", "value": "sk_1"}
    assert (await authority.call("POST", "/v1/credentials/register", body)).status == 201
    capabilities = {"capabilities": {"stripe.customers.read": {}}, "deny_always": ["stripe.refunds.delete"]}
    assert (await authority.call("PUT", "/api/v1/integrations/stripe", capabilities)).status == 200
    other = {**body, "integration": "github", "value": "gh_1"}
    assert (await authority.call("POST", "/v1/credentials/register", other)).status == 201
    agent = await authority.agent(await authority.policy(rego_all))
    client = await _started(authority, agent, "stripe.customers.read")
    try:
        # What no scope of the token names is neither told nor handed out.
        assert client.credentials == {"stripe": {"stripe_secret_key": "sk_1"}}
        assert set(client._capability_map) == {"stripe"}

        @client.tool(capability="stripe.customers.read")
        def read(customer: str) -> str:
            return customer

        (wrapped,) = client.wrap_tools([read])
        assert wrapped("c1") == "c1"
        await asyncio.to_thread(client._audit.stop)
        events = await authority.call("GET", "/v1/audit/events?event_type=agent.tool_invocation")
        (event,) = events.data["items"]
        assert event["actor_id"] == agent["id"]
        assert event["metadata_json"]["event"]["capability"] == "stripe.customers.read"
    finally:
        await asyncio.to_thread(client.stop)


async def test_its_verifier_takes_our_tokens_until_they_are_revoked(authority: Any) -> None:
    agent = await authority.agent(await authority.policy())
    client = OculusClient(agent["client_id"], agent["client_secret"], authority.app.base)
    token = await asyncio.to_thread(client.get_token, "db:read")
    verifier = JwksVerifier(authority.app.base)
    claims = await asyncio.to_thread(verifier.verify, token, f"urn:ragwork:tenant:{authority.tenant}")
    assert claims["sub"] == agent["id"]
    again = await authority.app.call(
        "GET", "/oauth/revoked-tokens", headers={"If-None-Match": verifier._trl_etag}
    )
    assert (again.status, again.headers["ETag"]) == (304, verifier._trl_etag)
    await authority.app.call("POST", "/oauth/revoke", authority.admin, data={"token": token})
    verifier._trl_fetched_at = 0.0
    with pytest.raises(OculusAPIError, match="revoked"):
        await asyncio.to_thread(verifier.verify, token)
    # It has no refresh token, so it says so once and asks anew.
    client._trl = await authority.revoked()
    with pytest.raises(TokenRevokedException):
        await asyncio.to_thread(client.get_token, "db:read")
    assert await asyncio.to_thread(client.get_token, "db:read") != token
    await asyncio.to_thread(client.stop)


async def test_it_renews_what_grew_old(authority: Any) -> None:
    agent = await authority.agent(await authority.policy())
    client = OculusClient(agent["client_id"], agent["client_secret"], authority.app.base)
    first = await asyncio.to_thread(client.get_token, "db:read")
    client._cache.get_any(["db:read"], None)["expires_at"] = 0
    second = await asyncio.to_thread(client.get_token, "db:read")
    assert first != second
    assert (await authority.introspect(second))["active"] is True
    await asyncio.to_thread(client.stop)


async def test_it_delegates_less_and_never_more(authority: Any, rego_all: str) -> None:
    policy = await authority.policy(rego_all)
    parent, child = await authority.agent(policy), await authority.agent(policy)
    client = await _started(authority, parent, "crm:read", "crm:notes:read")
    try:
        token = await asyncio.to_thread(client.delegate, child["id"], ["crm:read"], "task-2", 120)
        said = await authority.introspect(token)
        assert (said["sub"], said["scope"]) == (child["id"], "crm:read")
        assert said["agent"]["delegation_depth"] == 1
        with pytest.raises(DelegationError) as caught:
            await asyncio.to_thread(client.delegate, child["id"], ["crm:write"], "task-2", 120)
        assert caught.value.reason == "CAPABILITY_ESCALATION"
        grandchild = await asyncio.to_thread(OculusClient.from_delegation_token, token, authority.app.base)
        await asyncio.to_thread(grandchild.stop)
    finally:
        await asyncio.to_thread(client.stop)


async def test_it_enrols_once(authority: Any) -> None:
    agent = await authority.agent(await authority.policy())
    made = await authority.call("POST", f"/api/v1/agents/{agent['id']}/enroll-token")
    token = made.body["enroll_token"]
    client = await asyncio.to_thread(OculusClient.from_enroll_token, token, authority.app.base)
    assert client.client_id == agent["client_id"]
    assert await asyncio.to_thread(client.get_token, "db:read")
    await asyncio.to_thread(client.stop)
    with pytest.raises(OculusAuthError, match="AUTH_INVALID_CREDENTIALS"):
        await asyncio.to_thread(OculusClient.from_enroll_token, token, authority.app.base)


async def test_it_reads_our_refusals(authority: Any) -> None:
    agent = await authority.agent(await authority.policy())
    with pytest.raises(OculusStartupError, match="client credentials are wrong"):
        await _started(authority, {**agent, "client_secret": "cs_live_x"}, "db:read")
