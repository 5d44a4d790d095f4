"""The RFC surface, driven by a pedantic client that nobody here wrote, and by hand where that would not misbehave."""

import asyncio
import base64
import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

pytestmark = pytest.mark.asyncio(loop_scope="module")

_INTEROP = Path(__file__).parent / "interop"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


async def _run(*command: str, given: str = "") -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=_INTEROP,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(given.encode())
    return process.returncode or 0, out.decode(), err.decode()


async def _installed() -> None:
    if not (_INTEROP / "node_modules" / "oauth4webapi").exists():
        status, _, err = await _run("npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit")
        assert status == 0, f"npm could not install oauth4webapi: {err[-200:]}"


def _registered() -> tuple[dict[str, Any], dict[str, Any]]:
    """A private key and the key set to register."""
    key = ECKey.generate_key("P-256", parameters={"kid": "k1"}, private=True)
    return dict(key.as_dict(private=True)), {"keys": [dict(key.as_dict(private=False))]}


@pytest.mark.program("node", "npm")
async def test_oauth4webapi_finds_nothing_to_object_to(authority: Any) -> None:
    await _installed()
    private, jwks = _registered()
    agent = await authority.agent(await authority.policy(), jwks=jwks)
    given = {
        "issuer": authority.app.base,
        "id": agent["client_id"],
        "secret": agent["client_secret"],
        "jwk": private,
        "audience": f"urn:ragwork:tenant:{authority.tenant}",
    }
    status, out, err = await _run("node", "strict.mjs", given=json.dumps(given))
    assert status == 0, err
    assert json.loads(out) == {
        "discovery": f"{authority.app.base}/oauth2/token",
        "basic": "bearer",
        "post": "bearer",
        "private_key_jwt": "bearer",
        "nonce_demanded": True,
        "dpop": "dpop",
        "validated": [agent["client_id"], "db:read"],
        "active": True,
        "confirmed": "string",
        "after_revocation": {"active": False},
        "exchanged": "urn:ietf:params:oauth:token-type:access_token",
        "escalation": "invalid_scope",
        "wrong_secret": "basic",
    }


async def _grant(authority: Any, headers: dict[str, str] | None = None, **fields: str) -> Any:
    fields = {"grant_type": "client_credentials", "scope": "db:read", **fields}
    return await authority.form("/oauth2/token", fields, headers)


def _basic(agent: dict[str, Any]) -> dict[str, str]:
    pair = f"{agent['client_id']}:{agent['client_secret']}".encode()
    return {"Authorization": "Basic " + base64.b64encode(pair).decode()}


async def test_refusals_are_those_of_the_standard(authority: Any) -> None:
    agent = await authority.agent(await authority.policy())
    post = {"client_id": agent["client_id"], "client_secret": agent["client_secret"]}
    two = await _grant(authority, _basic(agent), **post)
    assert (two.status, two.body["error"]) == (400, "invalid_request")
    wrong = await _grant(authority, None, **{**post, "client_secret": "x"})
    assert (wrong.status, wrong.body["error"]) == (401, "invalid_client")
    assert wrong.headers["WWW-Authenticate"].startswith("Basic")
    unknown = await _grant(authority, None, client_id="agt_" + "0" * 24, client_secret=post["client_secret"])
    assert unknown.body == wrong.body
    grant = await _grant(authority, None, **{**post, "grant_type": "password"})
    assert (grant.status, grant.body["error"]) == (400, "unsupported_grant_type")
    for scope in ("read", "DB:read", "db:write", "db::read", "db:read\u00e9"):
        refused = await _grant(authority, None, **{**post, "scope": scope})
        assert (refused.status, refused.body["error"]) == (400, "invalid_scope"), scope
    repeated = await authority.app.call(
        "POST",
        "/oauth2/token",
        data="grant_type=client_credentials&scope=db:read&scope=db:read",
        headers={**_basic(agent), "Content-Type": "application/x-www-form-urlencoded"},
    )
    assert (repeated.status, repeated.body["error"]) == (400, "invalid_request")
    as_json = await authority.app.call("POST", "/oauth2/token", json={"grant_type": "client_credentials"})
    assert (as_json.status, as_json.body["error"]) == (400, "invalid_request")


def _assertion(agent: dict[str, Any], base: str, key: Any, alg: str, **changes: Any) -> dict[str, str]:
    now = int(time.time())
    claims = {
        "iss": agent["client_id"],
        "sub": agent["client_id"],
        "aud": base,
        "iat": now,
        "exp": now + 60,
        "jti": str(uuid.uuid4()),
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    text = jwt.encode({"alg": alg, "kid": "k1"}, claims, key, algorithms=[alg])
    return {"client_assertion": text, "client_assertion_type": _ASSERTION}


async def test_client_assertions_are_taken_once_and_only_when_whole(authority: Any) -> None:
    private, jwks = _registered()
    key = ECKey.import_key(private)
    agent = await authority.agent(await authority.policy(), jwks=jwks)
    base = authority.app.base
    good = _assertion(agent, base, key, "ES256")
    assert (await _grant(authority, None, **good)).status == 200
    replayed = await _grant(authority, None, **good)
    assert (replayed.status, replayed.body["error"]) == (401, "invalid_client")
    confused = OctKey.import_key(json.dumps(jwks["keys"][0]))
    other = ECKey.generate_key("P-256", private=True)
    later = int(time.time()) + 3600
    for case in (
        _assertion(agent, base, other, "ES256"),
        _assertion(agent, base, confused, "HS256"),
        _assertion(agent, base, key, "ES256", aud="https://elsewhere.example"),
        _assertion(agent, base, key, "ES256", aud=[base, "https://elsewhere.example"]),
        _assertion(agent, base, key, "ES256", exp=later),
        _assertion(agent, base, key, "ES256", exp=int(time.time()) - 1),
        _assertion(agent, base, key, "ES256", exp=None),
        _assertion(agent, base, key, "ES256", jti=None),
        _assertion(agent, base, key, "ES256", iss="somebody"),
    ):
        refused = await _grant(authority, None, **case)
        assert (refused.status, refused.body["error"]) == (401, "invalid_client"), refused.text


def _proof(base: str, key: Any, alg: str = "ES256", header: Any = None, **changes: Any) -> str:
    claims = {
        "htm": "POST",
        "htu": f"{base}/oauth2/token",
        "iat": int(time.time()),
        "jti": str(uuid.uuid4()),
        **changes,
    }
    public = dict(key.as_dict(private=False))
    full = {"alg": alg, "typ": "dpop+jwt", "jwk": public, **(header or {})}
    return jwt.encode(full, claims, key, algorithms=[alg])


async def test_proofs_are_bound_to_request_nonce_and_moment(authority: Any) -> None:
    agent = await authority.agent(await authority.policy())
    key, base = RSAKey.generate_key(2048, private=True), authority.app.base
    asked = await _grant(authority, {**_basic(agent), "DPoP": _proof(base, key, "RS256")})
    assert (asked.status, asked.body["error"]) == (400, "use_dpop_nonce")
    nonce = asked.headers["DPoP-Nonce"]
    good = _proof(base, key, "RS256", nonce=nonce)
    answer = await _grant(authority, {**_basic(agent), "DPoP": good})
    assert (answer.status, answer.body["token_type"]) == (200, "DPoP")
    public = dict(key.as_dict(private=False))
    secret = OctKey.generate_key(256)
    for case in (
        good,
        _proof(base, key, "RS256", nonce=nonce, htm="GET"),
        _proof(base, key, "RS256", nonce=nonce, htu=f"{base}/oauth2/revoke"),
        _proof(base, key, "RS256", nonce=nonce, iat=int(time.time()) - 3600),
        _proof(base, key, "RS256", nonce=nonce, header={"typ": "JWT"}),
        _proof(base, key, "RS256", nonce=nonce, header={"jwk": {**public, "d": "AQAB"}}),
        jwt.encode({"alg": "HS256", "typ": "dpop+jwt", "jwk": public}, {"nonce": nonce}, secret),
    ):
        refused = await _grant(authority, {**_basic(agent), "DPoP": case})
        assert (refused.status, refused.body["error"]) == (400, "invalid_dpop_proof"), case
    forged = _proof(base, key, "RS256", nonce=f"{int(time.time())}.{'A' * 43}")
    assert (await _grant(authority, {**_basic(agent), "DPoP": forged})).body["error"] == "use_dpop_nonce"
    # A bound token that is sent as a mere bearer is worth nothing.
    bound = answer.body["access_token"]
    stolen = await authority.app.call("GET", "/api/v1/delegations", bound)
    assert stolen.status == 401
    child = await authority.agent()
    body = {"child_agent_id": child["id"], "capabilities": ["db:read"], "ttl_seconds": 60}
    assert (await authority.call("POST", "/oauth/delegate", body, bound)).status == 401


async def test_introspection_and_revocation_stay_within_tenant_and_client(authority: Any) -> None:
    policy = await authority.policy()
    one, two = await authority.agent(policy), await authority.agent(policy)
    token = (await authority.token(one)).body["access_token"]
    other_admin = await authority.app.key(f"{authority.tenant}-2", user="root")
    foreign = await authority.app.call("POST", "/oauth/introspect/v2", other_admin, data={"token": token})
    assert foreign.body == {"active": False}
    not_ours = await authority.form("/oauth2/revoke", {"token": token}, _basic(two))
    assert not_ours.status == 200
    assert (await authority.introspect(token))["active"] is True
    for rubbish in ("x", "a.b.c", token[:-4] + "AAAA", "ort_live_" + "0" * 68):
        assert (await authority.form("/oauth2/introspect", {"token": rubbish}, _basic(one))).body == {
            "active": False
        }
        assert (await authority.form("/oauth2/revoke", {"token": rubbish}, _basic(one))).status == 200
    assert (await authority.form("/oauth2/revoke", {"token": token}, _basic(one))).status == 200
    assert await authority.introspect(token) == {"active": False}
