"""With dual control on no path raises a role, or lends somebody else's, by the word of one."""

import ast
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import attrs
import pytest
from ragwork_hooks.auth import Directory
from ragwork_testkit.oidc_server import CLIENT_ID, CLIENT_SECRET, OidcServer, oidc_server

ROOT = Path(__file__).parents[2]
PLUGINS = ("directory", "apikeys", "rbac", "plans", "rollouts", "audit", "sso", "scim", "selfserve")
SETTINGS = {
    "PLAN_DEFAULT": "enterprise",
    "EGRESS_ALLOW_PRIVATE": "127.0.0.0/8,::1/128",
    "IDENTITY_DUAL_CONTROL_REQUIRED": "true",
    "AUTH_DEV_BYPASS": "true",
    "SSO_CLIENT_SECRET_T1": json.dumps({"tenant_id": "t1", "client_secret": CLIENT_SECRET}),
}
IDENTITY = "/v1/admin/identity"
PROVIDERS, USERS, REQUESTS = f"{IDENTITY}/providers", f"{IDENTITY}/users", f"{IDENTITY}/role-requests"
SCIM = "/v1/scim/v2"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@attrs.define(kw_only=True)
class Stage:
    """Tenant t1 with two admins, ``ann`` and ``bea``, a reader ``rob``, SCIM, and a provider that can lie."""

    app: Any
    idp: OidcServer
    ann: str
    bea: str
    scim: str

    async def ok(self, method: str, path: str, key: str, body: Any = None, status: int = 200) -> Any:
        answer = await self.app.call(method, path, key, json=body)
        assert answer.status == status, (path, answer.text)
        return answer.body.get("data", answer.body) if answer.body else None

    async def role(self, user_id: str) -> str:
        services = self.app.platform.facades["sso"]
        async with services.db.tenant("t1", "read") as tx:
            user = await services.use(Directory).user(tx, user_id)
        return str(user.role.label) if user else "nobody"

    async def waiting(self) -> list[tuple[str, str]]:
        items = (await self.ok("GET", REQUESTS, self.ann))["items"]
        return [(item["subject_id"], item["role"]) for item in items]

    async def provider(self, key: str, *, status: int = 201, **fields: Any) -> str:
        body = {
            "type": "oidc", "name": "p", "client_id": CLIENT_ID, "client_secret_ref": "SSO_CLIENT_SECRET_T1",
            "default_role": "reader", "jit_enabled": True, **self.idp.endpoints(), **fields,
        }  # fmt: skip
        made = await self.ok("POST", PROVIDERS, key, body, status)
        return str(made["id"]) if status == 201 else ""

    async def enable(self, provider_id: str, *keys: str) -> None:
        """Each of ``keys`` wants it on."""
        for key in keys:
            answer = await self.app.call("POST", f"{PROVIDERS}/{provider_id}/enable", key)
            assert answer.status in (200, 202), answer.text

    async def login(self, provider_id: str) -> Any:
        start = await self.app.call("GET", f"/v1/auth/sso/oidc/{provider_id}/start")
        if start.status != 200:
            return start
        back = self.idp.authorize(dict(parse_qsl(urlsplit(start.data["authorize_url"]).query)))
        cookie = start.headers["Set-Cookie"].partition(";")[0]
        path = f"/v1/auth/sso/oidc/{provider_id}/callback"
        return await self.app.call("GET", path, params=back, headers={"Cookie": cookie})

    async def person(self, name: str, **more: Any) -> str:
        """A user that SCIM makes."""
        return str((await self.ok("POST", f"{SCIM}/Users", self.scim, {"userName": name, **more}, 201))["id"])

    async def group(self, *members: str, role: str | None = None) -> str:
        body = {"displayName": "g", "members": [{"value": member} for member in members]}
        group_id = str((await self.ok("POST", f"{SCIM}/Groups", self.scim, body, 201))["id"])
        if role is not None:
            path = f"{IDENTITY}/scim/groups/{group_id}"
            await self.ok("PATCH", path, self.ann, {"role_binding": role}, 202)
            await self.ok("PATCH", path, self.bea, {"role_binding": role}, 200)
        return group_id

    async def approved(self, user_id: str) -> None:
        """Both admins want what waits for the user."""
        [wish] = [w for w in (await self.ok("GET", REQUESTS, self.ann))["items"] if w["user_id"] == user_id]
        answers = [
            await self.app.call("POST", f"{REQUESTS}/{wish['id']}/approve", key)
            for key in (self.ann, self.bea)
        ]
        # The one who asked is refused; what a machine asked needs both.
        assert 200 in [answer.status for answer in answers], [answer.text for answer in answers]


@asynccontextmanager
async def staged(platform: Callable[..., Any], **settings: str) -> AsyncIterator[Stage]:
    async with oidc_server() as idp, platform(plugins=PLUGINS, settings=SETTINGS | settings) as app:
        ann, bea = await app.key("t1", user="ann"), await app.key("t1", user="bea")
        await app.key("t1", "reader", user="rob")
        made = await app.call("POST", f"{IDENTITY}/scim/token/create", ann)
        yield Stage(app=app, idp=idp, ann=ann, bea=bea, scim=made.data["token"])


# --- every path that can raise a role, and what it does ---------------------------------------

Attempt: TypeAlias = Callable[[Stage], Awaitable[tuple[str, str]]]


async def by_command(stage: Stage) -> tuple[str, str]:
    await stage.app.key("t1", "admin", user="rob")
    return "rob", "admin"


async def by_command_for_somebody_new(stage: Stage) -> tuple[str, str]:
    await stage.app.key("t1", "admin", user="new")
    return "new", "admin"


async def by_a_key_of_who_is_nobody(stage: Stage) -> tuple[str, str]:
    made = await stage.app.call(
        "POST", "/v1/self-serve/api-keys", json={"role": "admin"}, headers={"X-Tenant-Id": "t1"}
    )
    assert made.status == 403, made.text
    return "dev-t1", ""


async def by_route(stage: Stage) -> tuple[str, str]:
    await stage.ok("PATCH", f"{USERS}/rob/role", stage.ann, {"role": "editor"}, 202)
    return "rob", "editor"


async def by_switching_on_again(stage: Stage) -> tuple[str, str]:
    await stage.ok("POST", f"{USERS}/bea/disable", stage.ann)
    back = await stage.ok("POST", f"{USERS}/bea/enable", stage.ann)
    assert (back["status"], back["role"]) == ("active", "reader")
    return "bea", "admin"


async def by_linking(stage: Stage) -> tuple[str, str]:
    """The wish was for the person who was there before, so it is gone."""
    await stage.ok("PATCH", f"{USERS}/rob/role", stage.ann, {"role": "admin"}, 202)
    provider_id = await stage.provider(stage.ann)
    link = {"provider_id": provider_id, "subject": "mallory"}
    await stage.ok("POST", f"{USERS}/rob/links", stage.ann, link, 201)
    refused = await stage.app.call("POST", f"{USERS}/bea/links", stage.ann, json=link | {"subject": "m2"})
    assert refused.code == "AUTH_FORBIDDEN"
    return "rob", ""


async def by_default_role(stage: Stage) -> tuple[str, str]:
    provider_id = await stage.provider(stage.ann, default_role="admin")
    await stage.enable(provider_id, stage.ann, stage.ann)
    assert (await stage.login(provider_id)).code == "SSO_PROVIDER_NOT_FOUND"
    await stage.enable(provider_id, stage.bea)
    return (await stage.login(provider_id)).data["user_id"], "admin"


async def by_role_mapping(stage: Stage) -> tuple[str, str]:
    stage.idp.person = {"sub": "mallory", "groups": ["x"]}
    provider_id = await stage.provider(stage.ann, role_mapping_json={"groups": {"x": "admin"}})
    await stage.enable(provider_id, stage.ann, stage.bea)
    user_id = (await stage.login(provider_id)).data["user_id"]
    assert (await stage.login(provider_id)).data["role"] == "reader"
    return user_id, "admin"


async def by_group_binding(stage: Stage) -> tuple[str, str]:
    person = await stage.person("p")
    group_id = await stage.group(person)
    path = f"{IDENTITY}/scim/groups/{group_id}"
    for _ in range(2):
        asked = await stage.ok("PATCH", path, stage.ann, {"role_binding": "admin"}, 202)
        assert asked["role_binding"] is None
    assert await stage.role(person) == "reader"
    await stage.ok("PATCH", path, stage.bea, {"role_binding": "admin"})
    return person, "admin"


async def by_membership(stage: Stage) -> tuple[str, str]:
    group_id = await stage.group(role="admin")
    person = await stage.person("p")
    add = {"op": "add", "path": "members", "value": [{"value": person}]}
    body = {"schemas": [PATCH_OP], "Operations": [add]}
    await stage.ok("PATCH", f"{SCIM}/Groups/{group_id}", stage.scim, body)
    return person, "admin"


async def by_provisioning_anew(stage: Stage) -> tuple[str, str]:
    person = await stage.person("p")
    await stage.group(person, role="editor")
    await stage.approved(person)
    assert await stage.role(person) == "editor"
    for active in (False, True):
        body = {"schemas": [PATCH_OP], "Operations": [{"op": "replace", "value": {"active": active}}]}
        await stage.ok("PATCH", f"{SCIM}/Users/{person}", stage.scim, body)
    return person, "editor"


async def by_deleting(stage: Stage) -> tuple[str, str]:
    person = await stage.person("p")
    await stage.group(person, role="admin")
    await stage.ok("DELETE", f"{SCIM}/Users/{person}", stage.scim, status=204)
    return person, ""


#: Where a plugin calls what can raise a role → what tries it. A new caller must be tried here, too.
PATHS: dict[str, list[Attempt]] = {
    "apikeys/commands.py:_user": [by_command, by_command_for_somebody_new],
    "apikeys/self_service_keys.py:create": [by_a_key_of_who_is_nobody],
    "sso/user_routes.py:set_role": [by_route],
    "sso/user_routes.py:_switch": [by_switching_on_again],
    "sso/user_routes.py:link": [by_linking],
    "sso/login_flow.py:_with_role": [by_default_role, by_role_mapping],
    "sso/trust.py:agreed": [by_default_role],
    "scim/directory_sync.py:may_bind": [by_group_binding],
    "scim/directory_sync.py:recompute": [by_group_binding, by_membership],
    "scim/directory_sync.py:create": [by_membership],
    "scim/directory_sync.py:set_active": [by_provisioning_anew],
    "scim/directory_sync.py:end": [by_deleting],
}
RISING = {"ensure_user", "set_role", "set_active", "agreed"}


def raises_a_role(node: ast.AST) -> bool:
    """Whether it calls the directory's rising methods; who begins as a reader has not risen."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    named = node.func.attr in RISING and ast.unparse(node.func.value).endswith("directory")
    return named and "Role.READER" not in [ast.unparse(argument) for argument in node.args]


def callers() -> set[str]:
    """Every function of a plugin that calls the directory's rising methods."""
    found = set()
    for path in [*ROOT.glob("plugins/*/src/**/*.py"), *ROOT.glob("contrib/*/src/**/*.py")]:
        plugin = path.relative_to(ROOT).parts[1]
        for function in ast.walk(ast.parse(path.read_text())):
            async_function = plugin != "directory" and isinstance(function, ast.AsyncFunctionDef)
            if async_function and any(raises_a_role(node) for node in ast.walk(function)):
                found.add(f"{plugin}/{path.name}:{function.name}")
    return found


def test_every_caller_that_can_raise_a_role_is_tried_below() -> None:
    assert callers() == set(PATHS)


def test_only_one_file_writes_roles_and_it_asks_before_each_write() -> None:
    users = ROOT / "plugins/directory/src/ragwork_directory/users.py"
    writers = set()
    for function in ast.walk(ast.parse(users.read_text())):
        if isinstance(function, ast.AsyncFunctionDef):
            names = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
            if names & {"_ENSURE", "_UPDATE"}:
                writers.add(function.name)
    # `_given` writes what `set_role` and `approve` have judged.
    assert writers == {"ensure_user", "set_active", "_given"}
    for path in ROOT.glob("plugins/directory/src/**/*.py"):
        if path != users:
            assert not re.search(r"(INTO|UPDATE|DELETE FROM) directory\.users", path.read_text()), path


TRIED = sorted({attempt for attempts in PATHS.values() for attempt in attempts}, key=lambda a: a.__name__)


@pytest.mark.parametrize("attempt", TRIED, ids=lambda attempt: attempt.__name__)
async def test_no_path_raises_a_role_by_the_word_of_one(
    platform: Callable[..., Any], attempt: Attempt
) -> None:
    async with staged(platform) as stage:
        user_id, waits = await attempt(stage)
        assert await stage.role(user_id) in ("reader", "nobody")
        assert [wish for wish in await stage.waiting() if wish[0] == user_id] == (
            [(user_id, waits)] if waits else []
        )
        if waits and user_id != "bea":
            await stage.approved(user_id)
            assert await stage.role(user_id) == waits


async def test_one_admin_approves_nothing_that_a_machine_asked_for(platform: Callable[..., Any]) -> None:
    async with staged(platform) as stage:
        await by_membership(stage)
        [wish] = (await stage.ok("GET", REQUESTS, stage.ann))["items"]
        approve = f"{REQUESTS}/{wish['id']}/approve"
        assert (await stage.ok("POST", approve, stage.ann, status=202))["status"] == "pending_approval"
        again = await stage.app.call("POST", approve, stage.ann)
        bypassed = await stage.app.call("POST", approve, headers={"X-Tenant-Id": "t1"})
        assert (again.code, bypassed.code) == ("AUTH_FORBIDDEN", "AUTH_FORBIDDEN")
        await stage.ok("POST", approve, stage.bea)
        assert await stage.role(wish["user_id"]) == "admin"


# --- being somebody else ----------------------------------------------------------------------


@pytest.mark.parametrize("dual", ["true", "false"])
async def test_a_second_provider_of_an_issuer_is_refused(platform: Callable[..., Any], dual: str) -> None:
    async with staged(platform, IDENTITY_DUAL_CONTROL_REQUIRED=dual) as stage:
        await stage.provider(stage.ann)
        own_keys = {"jwks_url": "https://evil.example.com/jwks"}
        for issuer in (stage.idp.issuer, stage.idp.issuer + "/"):
            await stage.provider(stage.ann, status=409, issuer=issuer, **own_keys)
        other = await stage.provider(stage.ann, issuer="https://evil.example.com")
        await stage.provider(stage.ann, status=409, issuer="https://EVIL.example.com/")
        change = {"issuer": stage.idp.issuer}
        await stage.ok("PATCH", f"{PROVIDERS}/{other}", stage.ann, change, 409)


async def test_a_subject_of_another_provider_is_another_person(platform: Callable[..., Any]) -> None:
    async with oidc_server() as evil, staged(platform, IDENTITY_DUAL_CONTROL_REQUIRED="false") as stage:
        stage.idp.person = evil.person = {"sub": "alice"}
        honest = await stage.provider(stage.ann, default_role="admin")
        await stage.enable(honest, stage.ann)
        alice = (await stage.login(honest)).data["user_id"]
        moved = await stage.app.call(
            "PATCH", f"{PROVIDERS}/{honest}", stage.ann, json={"issuer": "https://x.example.com"}
        )
        assert (moved.status, moved.code) == (409, "CONFLICT")
        other = await stage.provider(stage.ann, **evil.endpoints())
        await stage.enable(other, stage.ann)
        stage.idp = evil
        mallory = (await stage.login(other)).data
        assert mallory["user_id"] != alice
        assert mallory["role"] == "reader"


async def test_what_an_enabled_provider_trusts_is_not_changed_by_one(platform: Callable[..., Any]) -> None:
    async with staged(platform) as stage:
        provider_id = await stage.provider(stage.ann)
        await stage.enable(provider_id, stage.ann)  # it gives nobody more than reader
        user_id = (await stage.login(provider_id)).data["user_id"]
        one = f"{PROVIDERS}/{provider_id}"
        await stage.ok("PATCH", one, stage.ann, {"default_role": "admin"}, 409)
        await stage.ok("PATCH", one, stage.ann, {"role_mapping_json": {"g": {"x": "editor"}}}, 409)
        own_keys = {"jwks_url": stage.idp.url + "/jwks?evil"}
        await stage.ok("PATCH", one, stage.ann, own_keys)  # still nobody to be gained
        await stage.ok("PATCH", f"{USERS}/{user_id}/role", stage.ann, {"role": "admin"}, 202)
        await stage.approved(user_id)
        await stage.ok("PATCH", one, stage.ann, {"jwks_url": stage.idp.url + "/jwks"}, 409)
        await stage.ok("PATCH", one, stage.ann, {"name": "other"})
        await stage.ok("POST", f"{one}/disable", stage.ann)
        await stage.enable(provider_id, stage.ann)
        await stage.ok("PATCH", one, stage.ann, {"jwks_url": stage.idp.url + "/jwks"})
        # The other admin has not agreed to these keys: bea asks anew, and one of them isn't two.
        await stage.enable(provider_id, stage.bea)
        assert (await stage.login(provider_id)).status == 404
        await stage.enable(provider_id, stage.ann)
        assert (await stage.login(provider_id)).data["user_id"] == user_id


async def test_the_first_two_admins_are_the_operators_and_the_third_is_not(
    platform: Callable[..., Any],
) -> None:
    async with staged(platform) as stage:
        assert [await stage.role(name) for name in ("ann", "bea", "rob")] == ["admin", "admin", "reader"]
        cat = await stage.app.key("t1", user="cat")
        assert (await stage.app.call("GET", REQUESTS, cat)).status == 403
        await stage.approved("cat")
        assert (await stage.app.call("GET", REQUESTS, cat)).status == 200
