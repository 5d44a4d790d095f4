"""Logins over HTTP: bound to browser and provider, taken once, with rights as of now."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from ragwork_toolkit.bearer_tokens.format import crc32_base62

ME = "/v1/auth/sso/me"


async def test_a_person_logs_in_and_is_who_the_provider_says(stage: Any) -> None:
    stage.idp.person = {"sub": "alice", "email": "alice@example.com", "name": "Alice A."}
    provider_id = await stage.provider()
    login = await stage.login(provider_id)
    assert login.status == 200, login.text
    assert set(login.data) == {"tenant_id", "provider_id", "user_id", "role", "session_token", "expires_at"}
    assert (login.data["tenant_id"], login.data["role"]) == ("t1", "reader")
    me = await stage.app.call("GET", ME, login.data["session_token"])
    assert me.status == 200
    assert (me.data["user_id"], me.data["email"]) == (login.data["user_id"], "alice@example.com")
    again = await stage.login(provider_id)
    assert again.data["user_id"] == login.data["user_id"]
    assert again.data["session_token"] != login.data["session_token"]
    [made] = await stage.audited("identity.jit.user_created")
    assert made["resource_id"] == login.data["user_id"]
    assert len(await stage.audited("identity.sso.login.success")) == 2


async def test_the_authorization_request_is_pkce_with_fresh_state_and_nonce(stage: Any) -> None:
    provider_id = await stage.provider(scopes_json=["groups"])
    first, second = [await stage.browser().start(provider_id) for _ in range(2)]
    assert first["code_challenge_method"] == "S256"
    assert first["scope"] == "openid groups"
    assert first["redirect_uri"] == f"{stage.app.base}/v1/auth/sso/oidc/{provider_id}/callback"
    for once in ("state", "nonce", "code_challenge"):
        assert len(first[once]) >= 43
        assert first[once] != second[once]


async def test_redirect_mode_sends_the_browser_on_with_its_cookie(staged: Any) -> None:
    async with staged(SSO_BASE_URL="https://rag.example.com/api/") as stage:
        provider_id = await stage.provider()
        start = f"/v1/auth/sso/oidc/{provider_id}/start"
        answer = await stage.app.call("GET", start, params={"response_mode": "redirect"})
        assert answer.status == 307
        sent = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))
        assert sent["redirect_uri"] == f"https://rag.example.com/api/v1/auth/sso/oidc/{provider_id}/callback"
        cookie = answer.headers["Set-Cookie"]
        path = f"Path=/api/v1/auth/sso/oidc/{provider_id}/callback"
        for part in ("HttpOnly", "SameSite=Lax", "Secure", path, "Max-Age=600"):
            assert part in cookie.split("; ")


async def test_a_state_is_worth_one_login_even_when_twenty_come_at_once(stage: Any) -> None:
    provider_id = await stage.provider()
    browser = stage.browser()
    back = stage.idp.authorize(await browser.start(provider_id))
    answers = await asyncio.gather(*(browser.callback(provider_id, back) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [200, *[400] * 19]
    assert {answer.code for answer in answers if answer.status == 400} == {"SSO_INVALID_STATE"}
    assert stage.idp.token_asked == 1


async def test_another_browser_can_not_finish_a_login(stage: Any) -> None:
    provider_id = await stage.provider()
    attacker, victim = stage.browser(), stage.browser()
    back = stage.idp.authorize(await attacker.start(provider_id))
    await victim.start(provider_id)
    assert (await victim.callback(provider_id, back)).code == "SSO_INVALID_STATE"
    # The attempt is over with that, and nothing was asked of the provider.
    assert (await attacker.callback(provider_id, back)).code == "SSO_INVALID_STATE"
    assert stage.idp.token_asked == 0
    # Floods of anonymous refusals are summed up.
    [first] = await stage.audited("identity.sso.login.failure")
    assert (first["error_code"], first["resource_id"]) == ("SSO_INVALID_STATE", provider_id)


async def test_a_second_cookie_of_the_same_name_is_no_binding(stage: Any) -> None:
    provider_id = await stage.provider()
    browser = stage.browser()
    back = stage.idp.authorize(await browser.start(provider_id))
    [(name, value)] = browser.cookies.items()
    browser.cookies["x"] = f"1; {name}={value}"
    assert (await browser.callback(provider_id, back)).code == "SSO_INVALID_STATE"


async def test_two_tabs_log_in_side_by_side(stage: Any) -> None:
    provider_id = await stage.provider()
    browser = stage.browser()
    backs = [stage.idp.authorize(await browser.start(provider_id)) for _ in range(2)]
    assert [(await browser.callback(provider_id, back)).status for back in backs] == [200, 200]


async def test_a_state_of_one_provider_is_nothing_at_another(stage: Any) -> None:
    mine, other = await stage.provider(), await stage.provider(issuer="https://other.example.com")
    foreign = await stage.provider(await stage.app.key("t2"), client_secret_ref="SSO_CLIENT_SECRET_T2")
    for elsewhere in (other, foreign):
        browser = stage.browser()
        back = stage.idp.authorize(await browser.start(mine))
        assert (await browser.callback(elsewhere, back)).code == "SSO_INVALID_STATE"
    assert stage.idp.token_asked == 0


@pytest.mark.parametrize("state", ["", "x", "x" * 512, "a/../b", "%00", "ünï"])
async def test_a_made_up_state_is_refused(stage: Any, state: str) -> None:
    provider_id = await stage.provider()
    answer = await stage.browser().callback(provider_id, {"code": "c", "state": state})
    assert answer.status == (422 if state == "" else 400)


async def test_a_refusal_of_the_provider_ends_the_login(stage: Any) -> None:
    provider_id = await stage.provider()
    browser = stage.browser()
    state = (await browser.start(provider_id))["state"]
    back = {"error": "access_denied", "error_description": "no\nway", "state": state}
    assert (await browser.callback(provider_id, back)).code == "AUTH_FORBIDDEN"
    assert (await browser.callback(provider_id, {"state": state})).status == 422
    assert (await browser.callback(provider_id, {**back, "code": "c"})).code == "SSO_INVALID_STATE"


async def test_the_issuer_of_the_answer_is_compared_and_where_promised_demanded(stage: Any) -> None:
    provider_id = await stage.provider()
    browser = stage.browser()
    back = stage.idp.authorize(await browser.start(provider_id))
    mixed_up = await browser.callback(provider_id, back | {"iss": "https://other.example.com"})
    assert (mixed_up.status, mixed_up.code) == (401, "SSO_ID_TOKEN_INVALID")
    assert stage.idp.token_asked == 0
    stage.idp.announces_iss = True
    back = stage.idp.authorize(await browser.start(provider_id))
    silent = await browser.callback(provider_id, {k: v for k, v in back.items() if k != "iss"})
    assert silent.code == "SSO_ID_TOKEN_INVALID"
    assert (await browser.login(provider_id, stage.idp)).status == 200


async def test_unknown_and_disabled_providers_look_the_same(stage: Any) -> None:
    off = await stage.provider(on=False)
    for provider_id in (off, "idp_0000000000000000", "nobody"):
        answer = await stage.app.call("GET", f"/v1/auth/sso/oidc/{provider_id}/start")
        assert (answer.status, answer.code) == (404, "SSO_PROVIDER_NOT_FOUND")


async def test_a_provider_that_is_switched_off_meanwhile_lets_nobody_in(stage: Any) -> None:
    provider_id = await stage.provider()
    session = (await stage.login(provider_id)).data["session_token"]
    browser = stage.browser()
    back = stage.idp.authorize(await browser.start(provider_id))
    off = await stage.app.call("POST", f"/v1/admin/identity/providers/{provider_id}/disable", stage.admin)
    assert (off.status, off.data["enabled"]) == (200, False)
    assert (await browser.callback(provider_id, back)).code == "SSO_PROVIDER_NOT_FOUND"
    assert (await stage.app.call("GET", ME, session)).code == "AUTH_REVOKED_KEY"


async def test_switching_off_a_provider_overtakes_a_login_under_way(stage: Any) -> None:
    provider_id = await stage.provider()
    stage.idp.hold = asyncio.Event()
    login = asyncio.create_task(stage.login(provider_id))
    await stage.idp.held.wait()
    off = await stage.app.call("POST", f"/v1/admin/identity/providers/{provider_id}/disable", stage.admin)
    assert off.status == 200
    stage.idp.hold.set()
    assert (await login).code == "SSO_PROVIDER_NOT_FOUND"


async def test_without_jit_only_known_people_come_in(stage: Any) -> None:
    provider_id = await stage.provider(jit_enabled=False)
    stranger = await stage.login(provider_id)
    assert (stranger.status, stranger.code) == (403, "SSO_JIT_DISABLED")
    await stage.app.key("t1", role="editor", user="bob")
    link = await stage.app.call(
        "POST", "/v1/admin/identity/users/bob/links", stage.admin,
        json={"provider_id": provider_id, "subject": "alice"},
    )  # fmt: skip
    assert link.status == 201
    known = await stage.login(provider_id)
    assert (known.status, known.data["user_id"], known.data["role"]) == (200, "bob", "editor")


async def test_an_address_links_to_nobody(stage: Any) -> None:
    admin_id = (await stage.app.call("GET", ME, stage.admin)).status
    assert admin_id == 404
    await stage.app.key("t1", role="admin", user="root@example.com")
    provider_id = await stage.provider()
    for sub, claims in (
        ("1", {"email": "root@example.com", "email_verified": True}),
        ("root@example.com", {"email": "root@example.com", "email_verified": False}),
        ("2", {"preferred_username": "root@example.com", "name": "root@example.com"}),
    ):
        stage.idp.person = {"sub": sub, **claims}
        login = await stage.login(provider_id)
        assert login.data["role"] == "reader"
        assert login.data["user_id"] != "root@example.com"


async def test_one_subject_of_two_issuers_is_two_people(stage: Any) -> None:
    first = await stage.login(await stage.provider())
    stage.idp.url, honest = stage.idp.url.replace("127.0.0.1", "localhost"), stage.idp.url
    second = await stage.login(await stage.provider())
    stage.idp.url = honest
    assert (first.status, second.status) == (200, 200), second.text
    assert first.data["user_id"] != second.data["user_id"]


async def test_twenty_first_logins_of_one_person_make_one_user(stage: Any) -> None:
    provider_id = await stage.provider()
    answers = await asyncio.gather(*(stage.login(provider_id) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.data["user_id"] for answer in answers}) == 1
    assert len({answer.data["session_token"] for answer in answers}) == 20
    assert len(await stage.audited("identity.jit.user_created")) == 1


async def test_the_role_is_set_anew_by_every_login_and_holds_for_older_sessions(stage: Any) -> None:
    mapping = {"groups": {"Admins": "admin", "Editors": "editor"}, "realm_access.roles": {"boss": "admin"}}
    provider_id = await stage.provider(role_mapping_json=mapping)
    admin_only = "/v1/admin/identity/users"
    stage.idp.person = {"sub": "alice", "groups": ["Editors", "Admins"]}
    first = await stage.login(provider_id)
    assert first.data["role"] == "admin"
    assert (await stage.app.call("GET", admin_only, first.data["session_token"])).status == 200
    stage.idp.person = {"sub": "alice", "groups": ["Editors"]}
    assert (await stage.login(provider_id)).data["role"] == "editor"
    assert (await stage.app.call("GET", admin_only, first.data["session_token"])).status == 403
    stage.idp.person = {"sub": "alice"}
    assert (await stage.login(provider_id)).data["role"] == "reader"
    stage.idp.person = {"sub": "alice", "realm_access": {"roles": ["boss"]}}
    assert (await stage.login(provider_id)).data["role"] == "admin"
    changes = [json.loads(row["metadata"]) for row in await stage.audited("identity.role.changed")]
    assert [(c["from"], c["to"]) for c in changes] == [
        ("admin", "editor"), ("editor", "reader"), ("reader", "admin"),
    ]  # fmt: skip


async def test_an_empty_mapping_demotes_and_none_leaves_roles_to_admins(stage: Any) -> None:
    free = await stage.provider()
    user_id = (await stage.login(free)).data["user_id"]
    role = f"/v1/admin/identity/users/{user_id}/role"
    assert (await stage.app.call("PATCH", role, stage.admin, json={"role": "editor"})).status == 200
    assert (await stage.login(free)).data["role"] == "editor"
    mapped = await stage.provider(role_mapping_json={})
    assert (await stage.login(mapped)).data["role"] == "reader"


async def test_logout_ends_the_session_everywhere_within_a_second(stage: Any, second: Any) -> None:
    provider_id = await stage.provider()
    token = (await stage.login(provider_id)).data["session_token"]
    async with second(stage.app.database_url) as far:
        assert (await far.call("GET", ME, token)).status == 200
        assert (await stage.app.call("POST", "/v1/auth/sso/logout", token)).status == 204
        assert (await stage.app.call("GET", ME, token)).code == "AUTH_REVOKED_KEY"
        for _ in range(20):
            if (await far.call("GET", ME, token)).status == 401:
                break
            await asyncio.sleep(0.05)
        assert (await far.call("GET", ME, token)).code == "AUTH_REVOKED_KEY"
    assert (await stage.app.call("POST", "/v1/auth/sso/logout", stage.admin)).status == 404


async def test_a_session_ends_with_its_time(staged: Any) -> None:
    async with staged(SSO_SESSION_TTL_HOURS="0.001") as stage:  # 3.6 s
        token = (await stage.login(await stage.provider())).data["session_token"]
        assert (await stage.app.call("GET", ME, token)).status == 200
        await asyncio.sleep(3.7)
        assert (await stage.app.call("GET", ME, token)).code == "AUTH_EXPIRED_KEY"


async def test_a_disabled_user_is_out_at_once_and_stays_out(stage: Any) -> None:
    provider_id = await stage.provider()
    login = (await stage.login(provider_id)).data
    disable = f"/v1/admin/identity/users/{login['user_id']}/disable"
    assert (await stage.app.call("POST", disable, stage.admin)).data["status"] == "disabled"
    assert (await stage.app.call("GET", ME, login["session_token"])).code == "AUTH_UNAUTHORIZED"
    assert (await stage.login(provider_id)).code == "AUTH_FORBIDDEN"


def _well_formed(body: str) -> str:
    """``body`` with the checksum that belongs to it: everybody can compute it."""
    return body + crc32_base62(body)


@pytest.mark.parametrize("spoil", ["last", "checksum", "short", "long", "id", "nul", "secret"])
async def test_spoiled_session_tokens_are_refused(stage: Any, spoil: str) -> None:
    token = (await stage.login(await stage.provider())).data["session_token"]
    swap = "A" if token[-20] != "A" else "B"
    bad = {
        "last": token[:-1] + ("A" if token[-1] != "A" else "B"),
        "checksum": token[:-20] + swap + token[-19:],
        "short": token[:-1],
        "long": token + "A" * 5000,
        "id": "nrgss_" + "0" * 16 + token[22:],
        "secret": _well_formed(token[:23] + "0" * 43),
        "nul": token[:10] + "%00" + token[13:],
    }[spoil]
    answer = await stage.app.call("GET", ME, bad)
    assert (answer.status, answer.code) == (401, "AUTH_UNAUTHORIZED")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_neither_secrets_nor_tokens_are_at_rest_in_clear(stage: Any) -> None:
    token = (await stage.login(await stage.provider())).data["session_token"]
    db = stage.app.platform.facades["sso"].db
    async with db.tenant("t1", "read") as tx:
        kept = [dict(row) for row in await tx.fetch("SELECT * FROM sso.sessions")]
        kept += [dict(row) for row in await tx.fetch("SELECT * FROM audit.events")]
    assert kept
    assert token not in str(kept)
    assert token[23:] not in str(kept)


async def test_switched_off_by_the_operator_and_missing_in_the_plan(staged: Any) -> None:
    async with staged(SSO_ENABLED="false") as stage:
        for path in ("/v1/auth/sso/oidc/x/start", "/v1/auth/sso/oidc/x/callback?code=a&state=b"):
            answer = await stage.app.call("GET", path)
            assert (answer.status, answer.code) == (403, "IDENTITY_FEATURE_DISABLED")
        listed = await stage.app.call("GET", "/v1/admin/identity/providers", stage.admin)
        assert (listed.status, listed.code) == (403, "IDENTITY_FEATURE_DISABLED")
    async with staged(PLAN_DEFAULT="pro") as stage:
        provider_id = await stage.provider()
        boss = await stage.app.key("t1", user="op", platform=True)
        plan = await stage.app.call("PATCH", "/v1/admin/plans/t1", boss, json={"plan_id": "free"})
        assert plan.status == 200
        for path in (f"/v1/auth/sso/oidc/{provider_id}/start", "/v1/admin/identity/providers"):
            refused = await stage.app.call("GET", path, stage.admin)
            assert (refused.status, refused.code) == (403, "FEATURE_NOT_ENABLED")
            assert refused.body["error"]["details"]["feature_key"] == "feature.identity.sso"


async def test_providers_are_listed_to_members_and_to_all_only_if_the_operator_wants(staged: Any) -> None:
    path = "/v1/auth/sso/providers"
    async with staged() as stage:
        provider_id, _ = await stage.provider(), await stage.provider(on=False)
        assert (await stage.app.call("GET", path)).status == 401
        listed = await stage.app.call("GET", path, stage.admin)
        assert [item["id"] for item in listed.data["items"]] == [provider_id]
        assert (await stage.app.call("GET", f"{path}?tenant_id=t2", stage.admin)).code == "AUTH_FORBIDDEN"
    async with staged(SSO_PUBLIC_DISCOVERY_ENABLED="true") as stage:
        provider_id = await stage.provider()
        listed = await stage.app.call("GET", f"{path}?tenant_id=t1")
        assert [item["id"] for item in listed.data["items"]] == [provider_id]
        assert (await stage.app.call("GET", path)).code == "AUTH_FORBIDDEN"
        assert (await stage.app.call("GET", f"{path}?tenant_id=nobody")).data["items"] == []
