"""The admin API: providers, people, dual control."""

import asyncio
import json
from typing import Any

import pytest
from ragwork_testkit.oidc_server import CLIENT_SECRET

PROVIDERS = "/v1/admin/identity/providers"
USERS = "/v1/admin/identity/users"
REQUESTS = "/v1/admin/identity/role-requests"
BODY = {
    "type": "oidc", "name": "Okta", "issuer": "https://example.okta.com/oauth2/default", "client_id": "0oa123",
    "client_secret_ref": "SSO_CLIENT_SECRET_T1", "auth_url": "https://example.okta.com/oauth2/default/v1/authorize",
    "token_url": "https://example.okta.com/oauth2/default/v1/token",
    "jwks_url": "https://example.okta.com/oauth2/default/v1/keys",
    "scopes_json": ["openid", "profile", "email", "groups"], "default_role": "reader",
    "role_mapping_json": {"groups": {"Admins": "admin", "Editors": "editor"}}, "jit_enabled": True,
}  # fmt: skip
CONTRACT = {
    "id", "tenant_id", "type", "name", "issuer", "client_id", "client_secret_ref", "auth_url", "token_url",
    "jwks_url", "scopes_json", "enabled", "default_role", "role_mapping_json", "jit_enabled", "created_at",
    "updated_at",
}  # fmt: skip


async def test_a_provider_is_created_off_changed_and_switched(stage: Any) -> None:
    made = await stage.app.call("POST", PROVIDERS, stage.admin, json=BODY)
    assert made.status == 201
    assert set(made.data) == CONTRACT | {"algorithms_json", "links_scim_users"}
    assert {name: made.data[name] for name in BODY} == BODY
    assert (made.data["enabled"], made.data["algorithms_json"]) == (False, ["RS256"])
    one = f"{PROVIDERS}/{made.data['id']}"
    patch = {"name": "New", "role_mapping_json": {}, "jit_enabled": False, "algorithms_json": ["ES256"]}
    patched = await stage.app.call("PATCH", one, stage.admin, json=patch)
    assert {name: patched.data[name] for name in patch} == patch
    assert patched.data["issuer"] == BODY["issuer"]
    on = await stage.app.call("POST", f"{one}/enable", stage.admin)
    assert on.data["enabled"] is True
    listed = await stage.app.call("GET", PROVIDERS, stage.admin)
    assert listed.data["items"] == [on.data]
    for event in ("created", "updated", "enabled"):
        [record] = await stage.audited(f"identity.provider.{event}")
        assert record["resource_id"] == made.data["id"]


BAD: list[tuple[dict[str, Any], int, str]] = [
        ({"type": "saml"}, 422, "VALIDATION_ERROR"),
        ({"type": "ldap"}, 422, "REQUEST_VALIDATION_ERROR"),
        ({"default_role": "root"}, 400, "AUTH_INVALID_ROLE"),
        ({"role_mapping_json": {"groups": {"A": "root"}}}, 422, "VALIDATION_ERROR"),
        ({"role_mapping_json": {"groups": "admin"}}, 422, "VALIDATION_ERROR"),
        ({"role_mapping_json": {"": {"A": "admin"}}}, 422, "VALIDATION_ERROR"),
        ({"algorithms_json": ["none"]}, 422, "VALIDATION_ERROR"),
        ({"algorithms_json": ["HS256"]}, 422, "VALIDATION_ERROR"),
        ({"algorithms_json": []}, 422, "VALIDATION_ERROR"),
        ({"scopes_json": ["a b"]}, 422, "VALIDATION_ERROR"),
        ({"issuer": "https://example.okta.com?x=1"}, 422, "VALIDATION_ERROR"),
        ({"issuer": "ftp://example.okta.com"}, 422, "VALIDATION_ERROR"),
        ({"token_url": "https://user:pw@example.okta.com/"}, 422, "VALIDATION_ERROR"),
        ({"token_url": "http://169.254.169.254/latest"}, 422, "VALIDATION_ERROR"),
        ({"jwks_url": "http://[::ffff:169.254.169.254]/"}, 422, "VALIDATION_ERROR"),
        ({"jwks_url": "http://2852039166/"}, 422, "VALIDATION_ERROR"),
        ({"jwks_url": "http://0xa9fea9fe/"}, 422, "VALIDATION_ERROR"),
        ({"jwks_url": "http://0.0.0.0/"}, 422, "VALIDATION_ERROR"),
        ({"jwks_url": "file:///etc/passwd"}, 422, "VALIDATION_ERROR"),
        ({"auth_url": "https://a\\b/"}, 422, "VALIDATION_ERROR"),
        ({"client_secret_ref": "APIKEY_PEPPER"}, 422, "VALIDATION_ERROR"),
        ({"client_secret_ref": "SSO_CLIENT_SECRET_T2"}, 422, "VALIDATION_ERROR"),
        ({"client_secret_ref": "SSO_CLIENT_SECRET_NONE"}, 422, "VALIDATION_ERROR"),
        ({"client_secret_ref": "SSO_CLIENT_SECRET_PLAIN"}, 422, "VALIDATION_ERROR"),
        ({"client_secret_ref": "DATABASE_URL"}, 422, "VALIDATION_ERROR"),
        ({"enabled": True}, 422, "REQUEST_VALIDATION_ERROR"),
        ({"tenant_id": "t2"}, 400, "TENANT_ID_NOT_ALLOWED"),
        ({"name": ""}, 422, "REQUEST_VALIDATION_ERROR"),
]  # fmt: skip


async def test_bad_providers_are_refused_when_made_and_when_changed(staged: Any) -> None:
    async with staged(SSO_CLIENT_SECRET_PLAIN="just-a-secret") as stage:
        one = f"{PROVIDERS}/{await stage.provider(on=False)}"
        [before] = (await stage.app.call("GET", PROVIDERS, stage.admin)).data["items"]
        for change, status, code in BAD:
            made = await stage.app.call("POST", PROVIDERS, stage.admin, json=BODY | change)
            assert (made.status, made.code) == (status, code), (change, made.text)
            assert "just-a-secret" not in made.text
            if "type" not in change:
                changed = await stage.app.call("PATCH", one, stage.admin, json=change)
                assert (changed.status, changed.code) == (status, code), change
        assert (await stage.app.call("GET", PROVIDERS, stage.admin)).data["items"] == [before]


async def test_a_reference_to_another_tenants_secret_looks_like_one_to_nothing(stage: Any) -> None:
    provider_id = await stage.provider(on=False)
    rotate = f"{PROVIDERS}/{provider_id}/rotate-secret-ref"
    texts = set()
    for ref in ("SSO_CLIENT_SECRET_T2", "SSO_CLIENT_SECRET_NONE", "PATH"):
        answer = await stage.app.call("POST", rotate, stage.admin, json={"client_secret_ref": ref})
        assert answer.status == 422
        texts.add(json.dumps(answer.body["error"]))
    assert len(texts) == 1
    fine = await stage.app.call(
        "POST", rotate, stage.admin, json={"client_secret_ref": "SSO_CLIENT_SECRET_T1"}
    )
    assert fine.status == 200


async def test_providers_and_people_of_another_tenant_do_not_exist(stage: Any) -> None:
    provider_id = await stage.provider()
    user_id = (await stage.login(provider_id)).data["user_id"]
    stranger = await stage.app.key("t2")
    assert (await stage.app.call("GET", PROVIDERS, stranger)).data["items"] == []
    assert (await stage.app.call("GET", USERS, stranger)).data["items"] == []
    for method, path, body in (
        ("PATCH", f"{PROVIDERS}/{provider_id}", {"name": "x"}),
        ("POST", f"{PROVIDERS}/{provider_id}/enable", None),
        ("POST", f"{PROVIDERS}/{provider_id}/disable", None),
        ("POST", f"{PROVIDERS}/{provider_id}/test", None),
        ("PATCH", f"{USERS}/{user_id}/role", {"role": "admin"}),
        ("POST", f"{USERS}/{user_id}/disable", None),
        ("POST", f"{USERS}/{user_id}/enable", None),
        ("POST", f"{USERS}/{user_id}/links", {"provider_id": provider_id, "subject": "x"}),
        ("POST", f"{REQUESTS}/0000000000000000/approve", None),
    ):
        answer = await stage.app.call(method, path, stranger, json=body)
        assert (answer.status, answer.code) == (404, "NOT_FOUND"), path


@pytest.mark.parametrize("role", ["reader", "editor"])
async def test_only_admins_administer(stage: Any, role: str) -> None:
    key = await stage.app.key("t1", role=role, user=f"a-{role}")
    for method, path in (
        ("GET", PROVIDERS), ("POST", PROVIDERS), ("PATCH", f"{PROVIDERS}/x"), ("POST", f"{PROVIDERS}/x/enable"),
        ("POST", f"{PROVIDERS}/x/disable"), ("POST", f"{PROVIDERS}/x/rotate-secret-ref"),
        ("POST", f"{PROVIDERS}/x/test"), ("GET", USERS), ("PATCH", f"{USERS}/x/role"),
        ("POST", f"{USERS}/x/disable"), ("POST", f"{USERS}/x/enable"), ("POST", f"{USERS}/x/links"),
        ("GET", REQUESTS), ("POST", f"{REQUESTS}/x/approve"), ("POST", f"{REQUESTS}/x/reject"),
    ):  # fmt: skip
        answer = await stage.app.call(method, path, key, json=None if method == "GET" else {})
        assert (answer.status, answer.code) == (403, "AUTH_FORBIDDEN"), path


async def test_the_test_of_a_provider_says_what_differs(stage: Any) -> None:
    good = await stage.provider()
    answer = await stage.app.call("POST", f"{PROVIDERS}/{good}/test", stage.admin)
    assert answer.data["ok"] is True, answer.text
    assert stage.idp.token_asked == 0
    bad = await stage.provider(
        token_url=stage.idp.url + "/other", jwks_url="http://127.0.0.1:9/", algorithms_json=["ES256"]
    )
    answer = await stage.app.call("POST", f"{PROVIDERS}/{bad}/test", stage.admin)
    assert {check["name"] for check in answer.data["checks"] if not check["ok"]} == {
        "jwks", "token_url", "jwks_url", "algorithms",
    }  # fmt: skip
    stage.idp.url += "/"  # the document's own issuer has no slash at its end
    path = f"{PROVIDERS}/{bad}"
    odd = await stage.app.call("PATCH", path, stage.admin, json={"issuer": stage.idp.url})
    assert odd.status == 200
    stage.idp.url = stage.idp.url.rstrip("/")
    answer = await stage.app.call("POST", f"{path}/test", stage.admin)
    assert [c["ok"] for c in answer.data["checks"] if c["name"] == "discovery"] == [False]


async def test_people_are_listed_with_their_role_and_state_of_now(stage: Any) -> None:
    stage.idp.person = {"sub": "alice", "email": "a@example.com", "name": "Alice"}
    provider_id = await stage.provider()
    user_id = (await stage.login(provider_id)).data["user_id"]
    changed = await stage.app.call("PATCH", f"{USERS}/{user_id}/role", stage.admin, json={"role": "editor"})
    assert changed.data == {"id": user_id, "status": "active", "role": "editor"}
    disabled = await stage.app.call("POST", f"{USERS}/{user_id}/disable", stage.admin)
    assert disabled.data == {"id": user_id, "status": "disabled", "role": "editor"}
    [person] = (await stage.app.call("GET", USERS, stage.admin)).data["items"]
    assert set(person) == {
        "id", "tenant_id", "external_subject", "email", "display_name", "status", "role", "last_login_at",
        "created_at", "updated_at",
    }  # fmt: skip
    assert (person["external_subject"], person["email"], person["display_name"]) == (
        "alice", "a@example.com", "Alice",
    )  # fmt: skip
    assert (person["status"], person["role"]) == ("disabled", "editor")
    assert (await stage.app.call("GET", f"{USERS}?offset=1", stage.admin)).data["items"] == []
    enabled = await stage.app.call("POST", f"{USERS}/{user_id}/enable", stage.admin)
    assert enabled.data["status"] == "active"
    for event in ("identity.role.changed", "identity.user.disabled", "identity.user.enabled"):
        assert len(await stage.audited(event)) == 1


async def test_bad_roles_and_links_are_refused(stage: Any) -> None:
    provider_id = await stage.provider()
    user_id = (await stage.login(provider_id)).data["user_id"]
    for role in ("root", "Admin", ""):
        answer = await stage.app.call("PATCH", f"{USERS}/{user_id}/role", stage.admin, json={"role": role})
        assert answer.status == (422 if role == "" else 400)
    link = {"provider_id": provider_id, "subject": "alice"}
    taken = await stage.app.call("POST", f"{USERS}/{user_id}/links", stage.admin, json=link)
    assert (taken.status, taken.code) == (409, "CONFLICT")


async def test_under_dual_control_two_admins_raise_a_role_and_one_can_lower_it(staged: Any) -> None:
    async with staged(IDENTITY_DUAL_CONTROL_REQUIRED="true") as stage:
        first = await stage.app.key("t1", user="boss")
        second = await stage.app.key("t1", user="second")
        user_id = (await stage.login(await stage.provider())).data["user_id"]
        role = f"{USERS}/{user_id}/role"
        asked = await stage.app.call("PATCH", role, first, json={"role": "admin"})
        assert (asked.status, asked.data) == (
            202, {"id": user_id, "status": "pending_approval", "role": "reader"},
        )  # fmt: skip
        [wish] = (await stage.app.call("GET", REQUESTS, second)).data["items"]
        assert (wish["user_id"], wish["role"], wish["requested_by"]) == (user_id, "admin", "boss")
        approve = f"{REQUESTS}/{wish['id']}/approve"
        other_key_of_first = await stage.app.key("t1", user="boss")
        assert (await stage.app.call("POST", approve, other_key_of_first)).code == "AUTH_FORBIDDEN"
        answers = await asyncio.gather(*(stage.app.call("POST", approve, second) for _ in range(5)))
        assert sorted(answer.status for answer in answers) == [200, *[404] * 4]
        assert [a.data["role"] for a in answers if a.status == 200] == ["admin"]
        lowered = await stage.app.call("PATCH", role, first, json={"role": "editor"})
        assert (lowered.status, lowered.data["role"]) == (200, "editor")
        assert len(await stage.audited("identity.role.requested")) == 1
        assert len(await stage.audited("identity.role.changed")) == 2


async def test_a_wish_dies_with_its_asker_a_newer_wish_or_a_rejection(staged: Any) -> None:
    async with staged(IDENTITY_DUAL_CONTROL_REQUIRED="true") as stage:
        first = await stage.app.key("t1", user="boss")
        second = await stage.app.key("t1", user="second")
        await stage.app.key("t1", role="reader", user="bob")

        async def ask(role: str) -> str:
            await stage.app.call("PATCH", f"{USERS}/bob/role", first, json={"role": role})
            [wish] = (await stage.app.call("GET", REQUESTS, second)).data["items"]
            return str(wish["id"])

        old, new = await ask("editor"), await ask("admin")
        assert (await stage.app.call("POST", f"{REQUESTS}/{old}/approve", second)).status == 404
        assert (await stage.app.call("POST", f"{REQUESTS}/{new}/reject", second)).status == 200
        assert (await stage.app.call("POST", f"{REQUESTS}/{new}/approve", second)).status == 404
        last = await ask("admin")
        assert (await stage.app.call("POST", f"{USERS}/boss/disable", second)).status == 200
        # Nobody who counts wants it: the one who approves does from now on, and can't be both.
        taken_up = await stage.app.call("POST", f"{REQUESTS}/{last}/approve", second)
        assert (taken_up.status, taken_up.data["status"], taken_up.data["role"]) == (
            202,
            "pending_approval",
            "reader",
        )
        assert (await stage.app.call("POST", f"{REQUESTS}/{last}/approve", second)).code == "AUTH_FORBIDDEN"
        provider_id = await stage.provider(second)
        link = {"provider_id": provider_id, "subject": "mallory"}
        linked = await stage.app.call("POST", f"{USERS}/second/links", second, json=link)
        assert linked.code == "AUTH_FORBIDDEN"


async def test_a_tenant_has_a_hundred_providers_at_most(stage: Any) -> None:
    async with stage.app.platform.facades["sso"].db.tenant("t1") as tx:
        await tx.execute(
            """INSERT INTO sso.providers (tenant_id, id, name, issuer, client_id, client_secret_ref, auth_url,
                   token_url, jwks_url, algorithms, default_role, jit_enabled)
               SELECT 't1', 'idp_' || lpad(n::text, 16, '0'), 'n', 'i' || n, 'c', 's', 'a', 't', 'j', '{RS256}',
                      'reader', false FROM generate_series(1, 95) n"""
        )
    answers = await asyncio.gather(
        *(
            stage.app.call("POST", PROVIDERS, stage.admin, json=BODY | {"issuer": f"https://{n}.example.com"})
            for n in range(10)
        )
    )
    assert sorted(answer.status for answer in answers) == [*[201] * 5, *[409] * 5]


async def test_ended_sessions_are_pruned_after_their_time(stage: Any) -> None:
    await stage.login(await stage.provider())
    facade = stage.app.platform.facades["sso"]
    async with facade.db.tenant("t1") as tx:
        await tx.execute(
            """INSERT INTO sso.sessions (tenant_id, id, user_id, provider_id, digest, expires_at)
               VALUES ('t1', '0000000000000000', 'u', 'p', sha256('x'), now() - interval '31 days')"""
        )
    [task] = [t for t in facade.registry.maintenance if t.name == "prune_sso_sessions"]
    assert (await task.run(), await task.run()) == (1, 0)


async def test_a_secret_of_another_name_is_its_tenants_when_the_operator_says_so(staged: Any) -> None:
    async with staged(
        SSO_CLIENT_SECRET_NAMES="OKTA_OIDC_CLIENT_SECRET=t1,OTHER_SECRET=t2",
        OKTA_OIDC_CLIENT_SECRET=CLIENT_SECRET,
        OTHER_SECRET="s",
        UNBOUND_SECRET="s",
    ) as stage:
        provider_id = await stage.provider(client_secret_ref="OKTA_OIDC_CLIENT_SECRET")
        assert (await stage.login(provider_id)).status == 200
        rotate = f"{PROVIDERS}/{provider_id}/rotate-secret-ref"
        for ref in ("OTHER_SECRET", "UNBOUND_SECRET", "APIKEY_PEPPER"):
            answer = await stage.app.call("POST", rotate, stage.admin, json={"client_secret_ref": ref})
            assert (answer.status, answer.code) == (422, "VALIDATION_ERROR"), ref
