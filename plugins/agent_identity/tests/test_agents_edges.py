"""The edges of OAuth: what counts as left out, who may be believed about our own name, what one tenant may publish."""

import asyncio
import base64
import json
import time
import uuid
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from ragwork_agent_identity.tokens import signing_keys, token_store

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def _basic(agent: dict[str, Any]) -> dict[str, str]:
    pair = f"{agent['client_id']}:{agent['client_secret']}".encode()
    return {"Authorization": "Basic " + base64.b64encode(pair).decode()}


@pytest.mark.parametrize("path", ["/oauth2/token", "/oauth/token"])
async def test_a_parameter_without_a_value_is_left_out(authority: Any, path: str) -> None:
    agent = await authority.agent(await authority.policy())
    empty = (
        "client_id", "client_secret", "client_assertion", "client_assertion_type", "audience", "resource",
        "refresh_token", "subject_token", "task_id", "requested_scope",
    )  # fmt: skip
    body = "grant_type=client_credentials&scope=&scope=db:read&" + "&".join(f"{name}=" for name in empty)
    answer = await authority.app.call("POST", path, data=body, headers={**_basic(agent), **FORM})
    assert (answer.status, answer.body.get("scope")) == (200, "db:read"), answer.text
    token = answer.body["access_token"]
    asked = f"token={token}&token_type_hint=&client_secret="
    if path == "/oauth2/token":
        said = await authority.app.call(
            "POST", "/oauth2/introspect", data=asked, headers={**_basic(agent), **FORM}
        )
        assert said.body["active"] is True
    for missing in ("grant_type=", "", "grant_type=client_credentials&client_id=&client_secret="):
        refused = await authority.app.call("POST", path, data=missing, headers=FORM)
        assert refused.status in (400, 401), refused.text


async def test_introspection_takes_an_administrators_key_in_its_own_header(authority: Any) -> None:
    agent = await authority.agent(await authority.policy())
    token = (await authority.token(agent)).body["access_token"]

    async def asked(**headers: str) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await authority.app.call("POST", "/oauth/introspect/v2", data={"token": token}, headers=sent)

    answer = await asked(X_API_Key=authority.admin)
    assert (answer.status, answer.body["active"], answer.body["sub"]) == (200, True, agent["id"])
    reader = await authority.app.key(authority.tenant, "reader", "ann")
    assert (await asked(X_API_Key=reader)).status == 403
    assert (await asked(X_API_Key="nrgk_x")).status == 401
    both = await asked(X_API_Key=authority.admin, Authorization=f"Bearer {authority.admin}")
    assert both.status == 401
    elsewhere = await authority.app.call("GET", "/api/v1/agents", headers={"X-API-Key": authority.admin})
    assert elsewhere.status in (401, 403)


async def test_a_host_header_names_no_addressee_of_assertions(authority: Any) -> None:
    key = ECKey.generate_key("P-256", parameters={"kid": "k1"}, private=True)
    jwks = {"keys": [dict(key.as_dict(private=False))]}
    agent = await authority.agent(await authority.policy(), jwks=jwks)

    async def asked(path: str, audience: str, headers: dict[str, str]) -> Any:
        claims = {
            "iss": agent["client_id"],
            "sub": agent["client_id"],
            "aud": audience,
            "exp": int(time.time()) + 60,
            "jti": str(uuid.uuid4()),
        }
        form = {
            "grant_type": "client_credentials",
            "scope": "db:read",
            "client_assertion_type": ASSERTION,
            "client_assertion": jwt.encode({"alg": "ES256", "kid": "k1"}, claims, key, algorithms=["ES256"]),
        }
        return await authority.app.call("POST", path, data=form, headers=headers)

    for path in ("/oauth/token", "/oauth2/token"):
        here = await asked(path, authority.app.base + path, {})
        assert here.status == 200, here.text
        theirs = await asked(path, f"http://evil.example{path}", {"Host": "evil.example"})
        assert theirs.status == 401, theirs.text
        assert "OAUTH_ISSUER" in theirs.text
        if path == "/oauth2/token":
            proof = {"DPoP": "e30.e30.e30", "Host": "evil.example"}
            refused = await authority.app.call(
                "POST",
                path,
                data={"grant_type": "client_credentials", "scope": "db:read"},
                headers={**_basic(agent), **proof},
            )
            assert (refused.status, refused.body["error"]) == (400, "invalid_dpop_proof")


async def test_what_one_tenant_adds_to_the_published_keys_is_bounded(
    authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await authority.agent(await authority.policy())
    first = (await authority.token(agent)).body["access_token"]
    rotate = "/api/v1/signing-keys/rotate"
    assert (await authority.call("POST", rotate)).status == 200
    soon = await authority.call("POST", rotate)
    assert soon.status == 429
    assert 0 < int(soon.headers["Retry-After"]) <= signing_keys.ROTATE_EVERY_S
    monkeypatch.setattr(signing_keys, "ROTATE_EVERY_S", 0)
    answers = [await authority.call("POST", rotate) for _ in range(signing_keys.MOST_RETIRED + 2)]
    assert [a.status for a in answers] == [200] * (signing_keys.MOST_RETIRED - 1) + [429] * 3
    published = (await authority.app.call("GET", "/.well-known/jwks.json")).body["keys"]
    listed = (await authority.call("GET", "/api/v1/signing-keys")).body["keys"]
    own = {key["kid"] for key in listed}
    assert len([key for key in published if key["kid"] in own]) == signing_keys.MOST_RETIRED + 2
    assert (await authority.introspect(first))["active"] is True
    # A leak is not made to wait.
    for kid in [key["kid"] for key in listed if key["status"] == "active"]:
        assert (await authority.call("POST", f"/api/v1/signing-keys/{kid}/compromise")).status == 200


async def test_who_changes_keys_while_another_does_is_told_so_at_once(authority: Any) -> None:
    await authority.token(await authority.agent(await authority.policy()))
    services = authority.app.platform.facades["agents"]
    async with services.db.tenant(authority.tenant) as tx:
        await tx.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('agents.keys/' || ragwork.tenant(), 0))"
        )
        began = time.monotonic()
        paths = ["/api/v1/signing-keys/rotate"] * 5 + ["/api/v1/signing-keys/none/compromise"]
        answers = await asyncio.gather(*(authority.call("POST", path) for path in paths))
        assert time.monotonic() - began < 5
    assert {(a.status, a.headers["Retry-After"]) for a in answers} == {(409, "1")}


async def test_one_tenants_revocations_do_not_swell_everybodys_list(
    authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_store, "MOST_LISTED", 3)
    agent = await authority.agent(await authority.policy())
    issued = [(await authority.token(agent)).body["access_token"] for _ in range(5)]
    ids = {json.loads(base64.urlsafe_b64decode(t.split(".")[1] + "=="))["jti"] for t in issued}
    await authority.call("POST", f"/api/v1/agents/{agent['id']}/suspend")
    assert len(ids & await authority.revoked()) == 3
    path = f"/oauth/revoked-tokens?tenant_id={authority.tenant}"
    own = await authority.app.call("GET", path)
    assert set(own.body["revoked_jtis"]) == ids
    same = await authority.app.call("GET", path, headers={"If-None-Match": own.headers["ETag"]})
    assert same.status == 304
    assert [await authority.introspect(token) for token in issued] == [{"active": False}] * 5
