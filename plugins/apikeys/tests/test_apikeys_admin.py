"""Admin API, rotation and commands on the real database."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from multidict import CIMultiDict
from ragwork_apikeys import plugin
from ragwork_apikeys.config import ApiKeysConfig
from ragwork_apikeys.routes import AdminApiKeyPatchRequest, ApiKeyListQuery
from ragwork_apikeys.store import KeyStore
from ragwork_directory import plugin as directory_plugin
from ragwork_hooks.admission import AdmissionResult
from ragwork_hooks.auth import ApiKeys, Credential, Directory, Principal, Role
from ragwork_hooks.commands import CommandContext
from ragwork_hooks.errors import ConfigError, Problem
from ragwork_hooks.http import Empty, Request
from ragwork_testkit.platform import option_values


@attrs.define
class Shell:
    """One terminal: runs commands and keeps what they print."""

    process: Any
    json: bool = True
    said: list[str] = attrs.field(factory=list)
    results: list[Any] = attrs.field(factory=list)
    recorded: list[Any] = attrs.field(factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def result(self, data: object, text: str) -> None:
        json.dumps(data)  # must be plain
        self.results.append((data, text))

    def table(self, rows: Any, columns: Any, empty: str) -> None:
        assert all(set(columns) <= set(row) for row in rows)
        self.results.append((rows, empty))

    async def record(self, _tx: Any, note: Any) -> None:
        self.recorded.append(note)

    async def run(self, *path: str, **options: Any) -> Any:
        command = next(c for c in plugin.ragwork_commands() if c.path == path)
        context = CommandContext(
            services=self.process,
            config=ApiKeysConfig(),
            console=self,  # type: ignore[arg-type]
            options=option_values(command, options),
            actor="operator:test",
            record=self.record,
            working=None,  # type: ignore[arg-type]
        )
        assert await command.run(context) == 0
        return self.results[-1][0]


@pytest.fixture
def keys(here: Any) -> Any:
    here.boot(directory_plugin)
    return here.boot(plugin, ApiKeysConfig())


@pytest.fixture
def shell(here: Any, keys: Any) -> Shell:
    return Shell(here)


def admin(tenant: str, *, platform: bool = False) -> Principal:
    return Principal(
        tenant_id=tenant,
        user_id="boss",
        credential_id="k",
        kind="api_key",
        role=Role.ADMIN,
        platform=platform,
    )


async def call(keys: Any, here: Any, caller: Principal, name: str, given: Any, key_id: str = "") -> Any:
    route = next(r for r in keys.routes if r.name == name)

    def made(tx: Any) -> Request[Any, Any]:
        return Request(
            request_id="r", echo_id="r", path={"key_id": key_id}, headers=CIMultiDict(), peer="", origin="",
            deadline=0, query=given if route.body is Empty else Empty(), body=given, admission=AdmissionResult(),
            caller=caller, transaction=tx, resource=None, decision=None,
        )  # fmt: skip

    if route.transaction == "none":
        return await route.handler(made(None))
    async with here.db.tenant(caller.tenant_id) as tx:
        return await route.handler(made(tx))


async def patch(keys: Any, here: Any, caller: Principal, key_id: str, **body: Any) -> Any:
    reply = await call(keys, here, caller, "api_keys.patch", AdminApiKeyPatchRequest(**body), key_id)
    return reply.data


async def sign_in(keys: Any, token: str) -> Principal:
    credential = Credential(bearer=token, peer="", headers=CIMultiDict(Authorization=f"Bearer {token}"))
    principal: Principal = await keys.authenticators[0].authenticate(credential)
    return principal


async def code_of(keys: Any, token: str) -> str:
    with pytest.raises(Problem) as refused:
        await sign_in(keys, token)
    return refused.value.code


# --- commands ---------------------------------------------------------------------------------


async def test_create_makes_tenant_user_and_a_key_that_works(keys: Any, shell: Shell, tenant: str) -> None:
    made = await shell.run(
        "keys", "create", tenant=tenant, role="editor", name="ci", user="alice@example.com", platform=True
    )
    assert set(made) == {"id", "key"}
    principal = await sign_in(keys, made["key"])
    assert (principal.tenant_id, principal.user_id, principal.role, principal.platform) == (
        tenant, "alice@example.com", Role.EDITOR, True,
    )  # fmt: skip
    assert principal.credential_id == made["id"]
    assert shell.said == []


async def test_without_user_each_key_has_one_of_its_own(keys: Any, shell: Shell, tenant: str) -> None:
    made = [await shell.run("keys", "create", tenant=tenant, role="admin", name="n") for _ in range(2)]
    users = {(await sign_in(keys, key["key"])).user_id for key in made}
    assert len(users) == 2


async def test_the_operator_raises_a_user_but_never_lowers_one(keys: Any, shell: Shell, tenant: str) -> None:
    reader = await shell.run("keys", "create", tenant=tenant, role="reader", name="n", user="u")
    boss = await shell.run("keys", "create", tenant=tenant, role="admin", name="n", user="u")
    assert shell.said == ["user u was reader and is now admin"]
    again = await shell.run("keys", "create", tenant=tenant, role="reader", name="n", user="u")
    roles = [(await sign_in(keys, key["key"])).role for key in (reader, boss, again)]
    assert roles == [Role.READER, Role.ADMIN, Role.READER]


async def test_plan_is_accepted_and_said_to_have_no_effect(shell: Shell, tenant: str) -> None:
    assert await shell.run("keys", "create", tenant=tenant, role="reader", name="n", plan="pro")
    assert len(shell.said) == 1
    assert "plans are not enabled" in shell.said[0]


@pytest.mark.parametrize(
    "options",
    [
        {"user": "a\nb"},
        {"expires": "0s"},
        {"expires": "9999d"},
        {"name": "x" * 129},
    ],
)
async def test_bad_options_are_named(shell: Shell, tenant: str, options: Any) -> None:
    with pytest.raises(ConfigError, match=f"--{next(iter(options))}"):
        await shell.run("keys", "create", **({"tenant": tenant, "role": "reader", "name": "n"} | options))


async def test_a_disabled_users_key_is_not_made(here: Any, shell: Shell, tenant: str) -> None:
    await shell.run("keys", "create", tenant=tenant, role="reader", name="n", user="u")
    async with here.db.tenant(tenant) as tx:
        await here.use(Directory).set_active(tx, "u", False, by="test")
    with pytest.raises(Problem, match="CONFLICT"):
        await shell.run("keys", "create", tenant=tenant, role="reader", name="n", user="u")
    assert [key["state"] for key in await shell.run("keys", "list", tenant=tenant)] == ["off"]


async def test_list_shows_no_secret_and_revoke_is_idempotent(keys: Any, shell: Shell, tenant: str) -> None:
    made = await shell.run("keys", "create", tenant=tenant, role="reader", name="n", user="u")
    first = await shell.run("keys", "revoke", key_id=made["id"])
    assert await shell.run("keys", "revoke", key_id=made["id"]) == first
    assert await code_of(keys, made["key"]) == "AUTH_REVOKED_KEY"
    (listed,) = await shell.run("keys", "list", tenant=tenant)
    assert (listed["id"], listed["state"], listed["key_prefix"]) == (made["id"], "revoked", made["key"][:12])
    assert made["key"] not in str(shell.results[-1])
    await shell.run("keys", "create", tenant=f"{tenant}-b", role="reader", name="n")
    (other,) = await shell.run("keys", "list", tenant=f"{tenant}-b")
    assert other["id"] != made["id"]


@pytest.mark.parametrize("key_id", ["nope", "a" * 16, "' OR 1=1"])
async def test_unknown_ids_are_404(shell: Shell, key_id: str) -> None:
    for verb in ("revoke", "rotate"):
        with pytest.raises(Problem, match="NOT_FOUND"):
            await shell.run("keys", verb, key_id=key_id)


async def test_an_overlap_of_more_than_a_year_is_refused(shell: Shell) -> None:
    with pytest.raises(ConfigError, match="--overlap"):
        await shell.run("keys", "rotate", key_id="a" * 16, overlap="366d")


async def test_a_key_may_be_given_an_end(shell: Shell, tenant: str) -> None:
    await shell.run("keys", "create", tenant=tenant, role="reader", name="n", expires="90d")
    (listed,) = await shell.run("keys", "list", tenant=tenant)
    assert abs(listed["expires_at"] - listed["created_at"] - timedelta(days=90)) < timedelta(seconds=1)


async def test_the_keys_of_a_tenant_that_does_not_exist_are_not_no_keys(shell: Shell, tenant: str) -> None:
    await shell.run("keys", "create", tenant=tenant, role="reader", name="n")
    with pytest.raises(Problem, match=f"no tenant '{tenant}x'; did you mean '{tenant}'"):
        await shell.run("keys", "list", tenant=f"{tenant}x")


# --- rotation ---------------------------------------------------------------------------------


async def test_rotation_without_overlap_ends_the_old_key_at_once(
    here: Any, keys: Any, shell: Shell, tenant: str
) -> None:
    old = await shell.run("keys", "create", tenant=tenant, role="editor", name="n", user="u", platform=True)
    before = await sign_in(keys, old["key"])
    new = await shell.run("keys", "rotate", key_id=old["id"])
    after = await sign_in(keys, new["key"])
    assert attrs.evolve(after, credential_id=before.credential_id) == before
    assert await code_of(keys, old["key"]) == "AUTH_EXPIRED_KEY"
    assert here.streams.cuts == [(tenant, None, old["id"])]


async def test_rotation_with_overlap_keeps_both_until_its_end(
    here: Any, keys: Any, shell: Shell, tenant: str
) -> None:
    old = await shell.run("keys", "create", tenant=tenant, role="editor", name="n", user="u")
    async with here.db.tenant(tenant) as tx:
        await tx.execute(
            "UPDATE apikeys.keys SET created_at = now() - interval '20 days',"
            " expires_at = now() + interval '10 days'"
        )
    new = await shell.run("keys", "rotate", key_id=old["id"], overlap="24h")
    assert await sign_in(keys, old["key"])
    assert await sign_in(keys, new["key"])
    assert here.streams.cuts == []
    here.clock.ahead_s = 24 * 3600 + 1
    assert await code_of(keys, old["key"]) == "AUTH_EXPIRED_KEY"
    listed = {key["id"]: key for key in await shell.run("keys", "list", tenant=tenant)}
    lifetime = listed[new["id"]]["expires_at"] - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < lifetime < timedelta(days=30, minutes=1)


async def test_an_overlap_never_prolongs_a_key(here: Any, keys: Any, shell: Shell, tenant: str) -> None:
    old = await shell.run("keys", "create", tenant=tenant, role="editor", name="n", user="u")
    async with here.db.tenant(tenant) as tx:
        await tx.execute("UPDATE apikeys.keys SET expires_at = now() + interval '1 minute'")
    await shell.run("keys", "rotate", key_id=old["id"], overlap="30d")
    assert await sign_in(keys, old["key"])
    here.clock.ahead_s = 61
    assert await code_of(keys, old["key"]) == "AUTH_EXPIRED_KEY"


async def test_twenty_concurrent_rotations_give_one_successor(
    here: Any, keys: Any, shell: Shell, tenant: str
) -> None:
    old = await shell.run("keys", "create", tenant=tenant, role="editor", name="n", user="u")
    outcomes = await asyncio.gather(
        *(shell.run("keys", "rotate", key_id=old["id"], overlap="1h") for _ in range(20)),
        return_exceptions=True,
    )
    won = [outcome for outcome in outcomes if isinstance(outcome, dict)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, Problem)]
    assert (len(won), {problem.code for problem in lost}) == (1, {"CONFLICT"})
    async with here.db.tenant(tenant) as tx:
        rows = await tx.fetch("SELECT id, successor FROM apikeys.keys ORDER BY created_at")
    assert {row["id"] for row in rows} == {old["id"], rows[0]["successor"]}


@pytest.mark.parametrize("spoil", ["revoked_at = now()", "disabled_at = now()", "expires_at = now()"])
async def test_a_key_out_of_use_is_not_rotated(here: Any, shell: Shell, tenant: str, spoil: str) -> None:
    old = await shell.run("keys", "create", tenant=tenant, role="editor", name="n", user="u")
    async with here.db.tenant(tenant) as tx:
        await tx.execute(f"UPDATE apikeys.keys SET {spoil}")
    with pytest.raises(Problem, match="CONFLICT"):
        await shell.run("keys", "rotate", key_id=old["id"])


# --- admin API --------------------------------------------------------------------------------


async def test_list_answers_the_contracts_shape(here: Any, keys: Any, shell: Shell, tenant: str) -> None:
    made = await shell.run("keys", "create", tenant=tenant, role="editor", name="ci", user="u")
    answer = await call(keys, here, admin(tenant), "api_keys.list", ApiKeyListQuery())
    (item,) = answer.items
    assert (answer.tenant_id, answer.inactive_days_threshold) == (tenant, 90)
    assert set(attrs.asdict(item)) == {
        "key_id", "key_prefix", "name", "role", "created_at", "last_used_at", "expires_at", "revoked_at",
        "is_active", "is_expired", "inactive_days",
    }  # fmt: skip
    assert (item.key_id, item.key_prefix, item.name, item.role) == (
        made["id"],
        made["key"][:12],
        "ci",
        "editor",
    )
    assert (item.is_active, item.is_expired, item.inactive_days) == (True, False, 0)
    async with here.db.tenant(tenant) as tx:
        await here.use(Directory).set_active(tx, "u", False, by="test")
    answer = await call(keys, here, admin(tenant), "api_keys.list", ApiKeyListQuery())
    assert not answer.items[0].is_active


async def test_list_filters_inactive_and_pages(here: Any, keys: Any, shell: Shell, tenant: str) -> None:
    made = [await shell.run("keys", "create", tenant=tenant, role="reader", name="n") for _ in range(4)]
    async with here.db.tenant(tenant) as tx:
        age = "UPDATE apikeys.keys SET created_at = now() - interval '40 days' WHERE id = $1"
        await tx.execute(age, made[0]["id"])
        await tx.execute("UPDATE apikeys.keys SET expires_at = now() WHERE id = $1", made[1]["id"])

    async def ids(**query: Any) -> list[str]:
        answer = await call(keys, here, admin(tenant), "api_keys.list", ApiKeyListQuery(**query))
        return [item.key_id for item in answer.items]

    newest_first = [made[3]["id"], made[2]["id"], made[1]["id"], made[0]["id"]]
    assert await ids() == newest_first
    assert await ids(limit=2, offset=1) == newest_first[1:3]
    assert await ids(include_only_inactive=True) == [made[1]["id"]]
    assert await ids(include_only_inactive=True, inactive_days=40) == [made[1]["id"], made[0]["id"]]


async def test_another_tenants_list_needs_platform_scope(
    here: Any, keys: Any, shell: Shell, tenant: str
) -> None:
    other = f"{tenant}-b"
    made = await shell.run("keys", "create", tenant=other, role="reader", name="n")
    for query in (ApiKeyListQuery(tenant_id=other), ApiKeyListQuery(tenant_id="never-seen")):
        with pytest.raises(Problem) as refused:
            await call(keys, here, admin(tenant), "api_keys.list", query)
        assert (refused.value.status, refused.value.code) == (403, "AUTH_FORBIDDEN")
    answer = await call(
        keys, here, admin(tenant, platform=True), "api_keys.list", ApiKeyListQuery(tenant_id=other)
    )
    assert [item.key_id for item in answer.items] == [made["id"]]


async def test_switching_off_and_on_and_revoking(here: Any, keys: Any, shell: Shell, tenant: str) -> None:
    made = await shell.run("keys", "create", tenant=tenant, role="reader", name="n")
    boss, key_id = admin(tenant), made["id"]
    assert await sign_in(keys, made["key"])
    assert not (await patch(keys, here, boss, key_id, active=False)).is_active
    assert await code_of(keys, made["key"]) == "AUTH_REVOKED_KEY"
    assert here.streams.cuts == [(tenant, None, key_id)]
    async with here.db.tenant(tenant) as tx:
        await tx.execute("UPDATE apikeys.keys SET created_at = now() - interval '100 days'")
    on = await patch(keys, here, boss, key_id, active=True, name="renamed")
    assert (on.is_active, on.inactive_days, on.name) == (True, 0, "renamed")
    assert await sign_in(keys, made["key"])
    assert (await patch(keys, here, boss, key_id, revoke=True)).revoked_at is not None
    with pytest.raises(Problem, match="VALIDATION_ERROR"):
        await patch(keys, here, boss, key_id, active=True)
    assert await code_of(keys, made["key"]) == "AUTH_REVOKED_KEY"


async def test_expiry_by_patch(here: Any, keys: Any, shell: Shell, tenant: str) -> None:
    made = await shell.run("keys", "create", tenant=tenant, role="reader", name="n")
    assert await sign_in(keys, made["key"])
    past = datetime.now(UTC) - timedelta(seconds=1)
    assert (await patch(keys, here, admin(tenant), made["id"], expires_at=past)).is_expired
    assert await code_of(keys, made["key"]) == "AUTH_EXPIRED_KEY"
    assert here.streams.cuts == [(tenant, None, made["id"])]
    with pytest.raises(Problem, match=re.compile("VALIDATION_ERROR.*offset")):
        await patch(keys, here, admin(tenant), made["id"], expires_at=datetime(2030, 1, 1))


async def test_switching_on_and_prolonging_stop_at_the_tenants_cap(
    here: Any, keys: Any, shell: Shell, tenant: str
) -> None:
    capped = here.boot(plugin, ApiKeysConfig(max_active_keys=1))
    boss, later = admin(tenant), datetime.now(UTC) + timedelta(days=9)
    one, two = [await shell.run("keys", "create", tenant=tenant, role="reader", name="n") for _ in range(2)]
    await patch(capped, here, boss, one["id"], active=False)
    for body in ({"active": True}, {"active": True, "expires_at": later}):
        with pytest.raises(Problem, match="KEY_LIMIT_REACHED"):
            await patch(capped, here, boss, one["id"], **body)
    assert await code_of(keys, one["key"]) == "AUTH_REVOKED_KEY"
    await patch(capped, here, boss, two["id"], name="still usable", expires_at=later)
    await patch(capped, here, boss, two["id"], expires_at=datetime.now(UTC) - timedelta(days=1))
    assert (await patch(capped, here, boss, one["id"], active=True)).is_active
    with pytest.raises(Problem, match="KEY_LIMIT_REACHED"):
        await patch(capped, here, boss, two["id"], expires_at=later)


async def test_contradictions_foreign_and_unknown_keys(
    here: Any, keys: Any, shell: Shell, tenant: str
) -> None:
    made = await shell.run("keys", "create", tenant=tenant, role="reader", name="n")
    with pytest.raises(Problem, match="VALIDATION_ERROR"):
        await patch(keys, here, admin(tenant), made["id"], active=True, revoke=True)
    texts = set()
    for caller, key_id in ((admin(f"{tenant}-b", platform=True), made["id"]), (admin(tenant), "a" * 16)):
        with pytest.raises(Problem) as refused:
            await patch(keys, here, caller, key_id, revoke=True)
        assert refused.value.status == 404
        texts.add(refused.value.message.replace(key_id, "ID"))
    assert len(texts) == 1
    assert await sign_in(keys, made["key"])


async def test_a_tenants_admin_can_end_a_platform_key_but_not_widen_it(
    here: Any, keys: Any, shell: Shell, tenant: str
) -> None:
    made = await shell.run("keys", "create", tenant=tenant, role="admin", name="n", platform=True)
    boss, later = admin(tenant), datetime.now(UTC) + timedelta(days=900)
    await patch(keys, here, boss, made["id"], active=False)
    for body in ({"active": True}, {"expires_at": later}, {"name": "x"}, {"active": True, "name": "x"}):
        with pytest.raises(Problem) as refused:
            await patch(keys, here, boss, made["id"], **body)
        assert (refused.value.status, refused.value.code) == (403, "AUTH_FORBIDDEN")
    assert (await patch(keys, here, admin(tenant, platform=True), made["id"], active=True)).is_active


async def test_the_store_is_reached_by_commands_as_the_plugins_own_capability(here: Any, keys: Any) -> None:
    assert plugin.ragwork_info().provides == (KeyStore, ApiKeys)
    assert isinstance(here.use(KeyStore), KeyStore)
