"""Tokens of agents: no policy no token, what they carry, and how they end."""

import asyncio
from typing import Any

import jwt
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_agent_gets_what_its_policy_allows_and_nothing_else(authority: Any) -> None:
    agent = await authority.agent(await authority.policy())
    answer = await authority.token(agent, "db:read crm:read")
    assert answer.status == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.body["token_type"] == "Bearer"
    assert answer.body["expires_in"] == 600
    assert answer.body["scope"] == "db:read crm:read"
    header = jwt.get_unverified_header(answer.body["access_token"])
    claims = jwt.decode(answer.body["access_token"], options={"verify_signature": False})
    assert (header["alg"], header["typ"]) == ("RS256", "at+jwt")
    assert claims["sub"] == agent["id"]
    assert claims["tenant_id"] == authority.tenant
    assert claims["aud"] == f"urn:ragwork:tenant:{authority.tenant}"
    assert claims["agent"]["delegation_depth"] == 0
    denied = await authority.token(agent, "db:read db:write")
    assert denied.status == 403
    assert denied.body["error"]["code"] == "POLICY_SCOPE_DENIED"
    assert denied.body["error"]["request_id"].startswith("req_")


async def test_without_a_policy_there_is_no_token(authority: Any) -> None:
    agent = await authority.agent()
    assert (await authority.token(agent)).code == "POLICY_SCOPE_DENIED"


async def test_twenty_rotations_at_once_leave_two_secrets(authority: Any) -> None:
    agent = await authority.agent(await authority.policy())
    path = f"/api/v1/agents/{agent['id']}/credentials/rotate"
    answers = await asyncio.gather(*(authority.call("POST", path) for _ in range(20)))
    assert {a.status for a in answers} == {200}
    tries = await asyncio.gather(
        *(authority.token({**agent, "client_secret": a.body["client_secret"]}) for a in answers)
    )
    assert sorted(t.status for t in tries) == [200, 200, *[401] * 18]
