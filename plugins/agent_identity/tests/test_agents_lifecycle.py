"""Agents, their keys and tokens from the first to the last day; races at the edges."""

import asyncio
import base64
import hmac
import json
from typing import Any

import jwt
import pytest
from joserfc import jwt as jose
from joserfc.jwk import RSAKey

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_suspending_ends_live_tokens_everywhere_and_is_reversible(authority: Any) -> None:
    agent = await authority.agent(await authority.policy())
    first = (await authority.token(agent, "db:read offline_access")).body
    jti = jwt.decode(first["access_token"], options={"verify_signature": False})["jti"]
    path = f"/api/v1/agents/{agent['id']}"
    assert (await authority.call("POST", f"{path}/suspend")).body["status"] == "suspended"
    assert jti in await authority.revoked()
    assert await authority.introspect(first["access_token"]) == {"active": False}
    refused = await authority.token(agent)
    assert (refused.status, refused.code) == (403, "AUTH_AGENT_SUSPENDED")
    refresh = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    proof = {"client_id": agent["client_id"], "client_secret": agent["client_secret"]}
    assert (await authority.form("/oauth/token", refresh | proof)).status == 403
    assert (await authority.call("POST", f"{path}/unsuspend")).body["status"] == "active"
    assert (await authority.token(agent)).status == 200
    assert (await authority.form("/oauth/token", refresh | proof)).status == 401
    assert jti in await authority.revoked()
    assert (await authority.call("DELETE", path)).body["status"] == "revoked"
    assert (await authority.token(agent)).code == "AUTH_AGENT_REVOKED"
    assert (await authority.call("POST", f"{path}/unsuspend")).status == 409
    history = await authority.call("GET", "/api/v1/tokens/history?termination_reason=system_kill")
    assert {t["agent_id"] for t in history.body["tokens"]} == {agent["id"]}


async def test_no_token_survives_a_suspension_it_raced(authority: Any) -> None:
    agent = await authority.agent(await authority.policy())
    work = [authority.token(agent) for _ in range(30)]
    work.insert(15, authority.call("POST", f"/api/v1/agents/{agent['id']}/suspend"))
    answers = await asyncio.gather(*work)
    del answers[15]
    issued = [a.body["access_token"] for a in answers if a.status == 200]
    assert {a.status for a in answers} <= {200, 403}, [a.body for a in answers if a.status not in (200, 403)]
    said = await asyncio.gather(*(authority.introspect(token) for token in issued))
    assert all(one == {"active": False} for one in said)
    jtis = {jwt.decode(t, options={"verify_signature": False})["jti"] for t in issued}
    assert jtis <= await authority.revoked()


async def test_of_twenty_refreshes_one_wins_and_reuse_ends_the_family(authority: Any) -> None:
    agent = await authority.agent(await authority.policy())
    first = (await authority.token(agent, "db:read offline_access")).body
    form = {
        "grant_type": "refresh_token",
        "refresh_token": first["refresh_token"],
        "client_id": agent["client_id"],
        "client_secret": agent["client_secret"],
    }
    answers = await asyncio.gather(*(authority.form("/oauth/token", form) for _ in range(20)))
    won = [a.body for a in answers if a.status == 200]
    assert len(won) == 1
    assert {a.code for a in answers if a.status != 200} == {"AUTH_INVALID_CREDENTIALS"}
    for token in (first["access_token"], won[0]["access_token"]):
        assert await authority.introspect(token) == {"active": False}
    last = {**form, "refresh_token": won[0]["refresh_token"]}
    assert (await authority.form("/oauth/token", last)).status == 401


async def test_of_twenty_enrolments_one_wins(authority: Any) -> None:
    agent = await authority.agent(await authority.policy())
    made = await authority.call("POST", f"/api/v1/agents/{agent['id']}/enroll-token")
    form = {"enroll_token": made.body["enroll_token"]}
    answers = await asyncio.gather(*(authority.form("/oauth/enroll", form) for _ in range(20)))
    assert sorted(a.status for a in answers) == [200, *[401] * 19]


async def test_lifetimes_follow_the_agent_and_the_risk(authority: Any, rego_all: str) -> None:
    policy = await authority.policy(rego_all)
    agent = await authority.agent(policy, token_ttl_seconds=86_400)
    assert (await authority.token(agent, "db:read")).body["expires_in"] == 86_400
    for scope in ("db:write", "db.delete", "db:read crm:admin"):
        assert (await authority.token(agent, scope)).body["expires_in"] == 900
    short = await authority.agent(policy, token_ttl_seconds=300)
    assert (await authority.token(short, "db:write")).body["expires_in"] == 300
    too_short = {"name": "x", "token_ttl_seconds": 299}
    assert (await authority.call("POST", "/api/v1/agents", too_short)).code == "VALIDATION_ERROR"


async def test_a_rotated_key_verifies_and_a_compromised_one_does_not(authority: Any) -> None:
    agent = await authority.agent(await authority.policy())
    old = (await authority.token(agent)).body["access_token"]
    kid = jwt.get_unverified_header(old)["kid"]
    published = (await authority.app.call("GET", "/.well-known/jwks.json")).body["keys"]
    assert all(set(key) == {"kty", "n", "e", "kid", "use", "alg"} for key in published)
    rotated = await authority.call("POST", "/api/v1/signing-keys/rotate")
    # The new key had been published before its first use.
    assert rotated.body["kid"] in {key["kid"] for key in published}
    new = (await authority.token(agent)).body["access_token"]
    assert jwt.get_unverified_header(new)["kid"] == rotated.body["kid"] != kid
    assert (await authority.introspect(old))["active"] is True
    given_up = await authority.call("POST", f"/api/v1/signing-keys/{kid}/compromise")
    assert given_up.body["tokens_revoked"] == 1
    assert await authority.introspect(old) == {"active": False}
    assert (await authority.introspect(new))["active"] is True
    left = {key["kid"] for key in (await authority.app.call("GET", "/.well-known/jwks.json")).body["keys"]}
    assert kid not in left
    history = await authority.call("GET", "/api/v1/tokens/history?termination_reason=key_compromised")
    jti = history.body["tokens"][0]["jti"]
    certificate = (await authority.call("GET", f"/api/v1/tokens/{jti}/certificate")).body["certificate"]
    key = next(
        k
        for k in (await authority.app.call("GET", "/.well-known/jwks.json")).body["keys"]
        if k["kid"] in left and k["kid"] == jwt.get_unverified_header(certificate)["kid"]
    )
    stated = jose.decode(certificate, RSAKey.import_key(key), algorithms=["RS256"]).claims
    assert stated["revocation"]["termination_reason"] == "key_compromised"


async def test_of_twenty_key_rotations_at_once_few_happen_and_one_key_is_active(authority: Any) -> None:
    answers = await asyncio.gather(
        *(authority.call("POST", "/api/v1/signing-keys/rotate") for _ in range(20))
    )
    assert {a.status for a in answers} <= {200, 409, 429}
    assert 1 <= [a.status for a in answers].count(200) <= 2
    keys = (await authority.call("GET", "/api/v1/signing-keys")).body["keys"]
    assert sorted(k["status"] for k in keys if k["status"] != "retired") == ["active", "next"]


def _hmac_signed(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """What a confused verifier would take: our public key used as a shared secret."""
    parts = [json.dumps(header), json.dumps(claims)]
    body = ".".join(base64.urlsafe_b64encode(p.encode()).rstrip(b"=").decode() for p in parts)
    mac = hmac.digest(secret, body.encode(), "sha256")
    return f"{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


async def test_forged_tokens_open_nothing(authority: Any) -> None:
    agent = await authority.agent(await authority.policy())
    token = (await authority.token(agent)).body["access_token"]
    header, claims = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})
    public = (await authority.app.call("GET", "/.well-known/jwks.json")).body["keys"][0]
    stranger = RSAKey.generate_key(2048, private=True)
    pem = RSAKey.import_key(public).as_pem(private=False)
    forgeries = [
        jose.encode(header, claims, stranger),
        _hmac_signed({**header, "alg": "HS256"}, claims, pem),
        _hmac_signed({**header, "alg": "HS256"}, claims, json.dumps(public).encode()),
        _hmac_signed({**header, "alg": "none"}, claims, b"").rsplit(".", 1)[0] + ".",
        token.rsplit(".", 1)[0] + ".",
    ]
    for forged in forgeries:
        assert await authority.introspect(forged) == {"active": False}
        assert (await authority.app.call("GET", "/api/v1/delegations", forged)).status == 401
    real = RSAKey.generate_key(2048, private=True)
    subject = jose.encode({**header, "typ": "subject+jwt"}, {**claims, "may_act": {"sub": agent["id"]}}, real)
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "client_id": agent["client_id"],
        "client_secret": agent["client_secret"],
        "subject_token": subject,
    }
    assert (await authority.form("/oauth/token", form)).status == 401


async def test_an_agent_of_another_tenant_does_not_exist(authority: Any) -> None:
    agent = await authority.agent(await authority.policy())
    stranger = await authority.app.key(f"{authority.tenant}-2", user="root")
    missing = await authority.call("GET", "/api/v1/agents/none", key=stranger)
    for path in (f"/api/v1/agents/{agent['id']}", f"/api/v1/agents/{agent['id']}/api-keys"):
        answer = await authority.call("GET", path, key=stranger)
        assert (answer.status, answer.code) == (missing.status, "AGENT_NOT_FOUND")
    assert (await authority.call("GET", "/api/v1/agents", key=stranger)).body["agents"] == []
    mine = await authority.call("POST", "/api/v1/agents", {"name": "x", "policy_ids": ["nope"]}, stranger)
    assert mine.code == "POLICY_NOT_FOUND"


async def test_tokens_of_an_agent_that_does_not_exist_are_no_empty_list(authority: Any) -> None:
    agent = await authority.agent(await authority.policy())
    for path in ("/api/v1/tokens", "/api/v1/tokens/history"):
        missing = await authority.call("GET", f"{path}?agent_id=none")
        assert (missing.status, missing.code) == (404, "AGENT_NOT_FOUND")
        assert (await authority.call("GET", f"{path}?agent_id={agent['id']}")).body["tokens"] == []


async def test_a_secret_is_shown_once_even_to_a_repeated_request(platform: Any) -> None:
    async with platform(
        plugins=("directory", "apikeys", "rbac", "audit", "idempotency", "rego", "agents")
    ) as app:
        admin = await app.key("t1", user="root")
        sent = {"Idempotency-Key": "k1"}
        first = await app.call("POST", "/api/v1/agents", admin, json={"name": "a"}, headers=sent)
        again = await app.call("POST", "/api/v1/agents", admin, json={"name": "a"}, headers=sent)
        assert again.body["id"] == first.body["id"]
        assert first.body["client_secret"].startswith("cs_live_")
        assert again.body["client_secret"] is None


async def test_what_ended_long_ago_is_swept_and_the_rest_stays(authority: Any) -> None:
    agent = await authority.agent(await authority.policy())
    facade = authority.app.platform.facades["agents"]
    [sweep] = [s for s in facade.registry.schedules if s.name == "agents.credential_expiry"]
    async with facade.db.tenant(authority.tenant) as tx:
        kept = await tx.fetchval("SELECT count(*) FROM agents.credentials")
        await tx.execute(
            """INSERT INTO agents.refresh_tokens (tenant_id, id, family, agent_id, digest, scopes, audience, expires_at)
            SELECT ragwork.tenant(), $1 || age, 'f', $1, sha256('x'), '{}', '', now() - make_interval(hours => age)
            FROM unnest(ARRAY[1, 30]) AS age""",
            agent["id"],
        )
    await sweep.run()
    async with facade.db.tenant(authority.tenant) as tx:
        assert await tx.fetchval("SELECT count(*) FROM agents.credentials") == kept
        assert await tx.fetchval("SELECT array_agg(id) FROM agents.refresh_tokens") == [f"{agent['id']}1"]
        await tx.execute("UPDATE agents.credentials SET revoked_at = now() - interval '31 days'")
    await sweep.run()
    async with facade.db.tenant(authority.tenant, "read") as tx:
        assert await tx.fetchval("SELECT count(*) FROM agents.credentials") == 0


async def test_a_policy_whose_deletion_was_raced_is_assigned_to_nobody(authority: Any) -> None:
    agents = [await authority.agent() for _ in range(3)]
    for _ in range(5):
        policy = await authority.policy(mode="inactive")
        body = {"policy_ids": [policy]}
        work = [authority.call("PATCH", f"/api/v1/agents/{agent['id']}", body) for agent in agents]
        work.insert(1, authority.call("DELETE", f"/api/v1/policies/{policy}"))
        answers = await asyncio.gather(*work)
        assert answers[1].status in (200, 204), answers[1].text
        assert {answer.status for answer in answers} <= {200, 204, 404}
        for agent in agents:
            shown = (await authority.call("GET", f"/api/v1/agents/{agent['id']}")).body
            assert policy not in shown["policy_ids"]
