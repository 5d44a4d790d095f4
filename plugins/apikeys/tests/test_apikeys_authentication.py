"""From a token to a principal, on the real database: order of checks, caches, bounds, hostile input."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from multidict import CIMultiDict
from ragwork_apikeys import plugin
from ragwork_apikeys.config import ApiKeysConfig
from ragwork_apikeys.store import KeyChange, KeyStore, NewToken
from ragwork_apikeys.tokens import KEY
from ragwork_directory import plugin as directory_plugin
from ragwork_hooks.auth import Credential, Directory, Role
from ragwork_hooks.errors import Problem
from ragwork_toolkit.bearer_tokens.format import crc32_base62


def start(process: Any, **settings: Any) -> Any:
    """Boot both plugins; the contribution of API keys."""
    process.boot(directory_plugin)
    return process.boot(plugin, ApiKeysConfig(**settings))


async def mint(process: Any, tenant: str, role: Role = Role.EDITOR, **more: Any) -> NewToken:
    async with process.db.tenant(tenant) as tx:
        user = await process.use(Directory).ensure_user(tx, "alice", Role.EDITOR, by="test")
        values = {"name": "n", "role": role, "platform": False} | more
        minted: NewToken = await process.use(KeyStore).create(tx, user_id=user.id, **values)
    return minted


async def sql(process: Any, tenant: str, statement: str, *args: object) -> None:
    async with process.db.tenant(tenant) as tx:
        await tx.execute(statement, *args)


def ask(contribution: Any, token: str | None, *headers: tuple[str, str]) -> Any:
    carried = headers if token is None else (("Authorization", f"Bearer {token}"), *headers)
    credential = Credential(bearer=token, peer="203.0.113.9", headers=CIMultiDict(carried))
    return contribution.authenticators[0].authenticate(credential)


async def refusal(contribution: Any, token: str, *headers: tuple[str, str]) -> Problem:
    with pytest.raises(Problem) as refused:
        await ask(contribution, token, *headers)
    if refused.value.status == 401:
        assert refused.value.headers["WWW-Authenticate"] == "Bearer"
    return refused.value


async def test_a_key_gives_its_principal_and_warm_it_asks_nobody(here: Any, tenant: str) -> None:
    keys = start(here)
    minted = await mint(here, tenant, platform=True)
    principal = await ask(keys, minted.token)
    assert (principal.tenant_id, principal.user_id, principal.credential_id, principal.kind) == (
        tenant, "alice", minted.id, "api_key",
    )  # fmt: skip
    assert (principal.role, principal.platform, principal.groups) == (Role.EDITOR, True, frozenset())
    opened = here.db.opened
    assert await ask(keys, minted.token) == principal
    assert here.db.opened == opened


async def test_hostile_credentials_are_401_without_a_query(here: Any, tenant: str) -> None:
    keys = start(here)
    good = (await mint(here, tenant)).token
    opened = here.db.opened
    body = good[5:]
    for token in (
        "nrgk_", "nrgk__", good[:-1], good + "x", good[:-1] + ("0" if good[-1] != "0" else "1"),
        "nrgk_" + "a" * 1_000_000, good + "\x00", good[:30] + "\x00" + good[31:], "nrgk_" + "é" * 66,
        "nrgk_" + "\ud800" * 66, "nrgk_' OR 1=1 --" + body[11:], "nrgk_%25%25" + body[6:],
    ):  # fmt: skip
        assert (await refusal(keys, token)).code == "AUTH_UNAUTHORIZED"
    twice = await refusal(keys, good, ("Authorization", f"Bearer {good}"))
    assert twice.code == "AUTH_UNAUTHORIZED"
    assert here.db.opened == opened


@pytest.mark.parametrize("token", [None, "nrgss_abc_def", "eyJhbGciOi", ""])
async def test_other_kinds_of_credential_are_left_to_others(here: Any, token: str | None) -> None:
    assert await ask(start(here), token) is None


async def test_unknown_keys_and_wrong_secrets_are_unauthorized_and_not_remembered(
    here: Any, tenant: str
) -> None:
    keys = start(here)
    stranger_id, stranger = KEY.mint()
    assert (await refusal(keys, stranger)).code == "AUTH_UNAUTHORIZED"
    async with here.db.tenant(tenant) as tx:
        await here.use(Directory).ensure_user(tx, "alice", Role.READER, by="test")
        await tx.execute(
            "INSERT INTO apikeys.keys (tenant_id, id, user_id, name, role, digest)"
            " VALUES (ragwork.tenant(), $1, 'alice', 'n', 'reader', $2)",
            stranger_id,
            here.use(KeyStore).digest(stranger),
        )
    assert (await ask(keys, stranger)).tenant_id == tenant
    # Right id and right checksum, but another secret: even of a revoked key nothing is said.
    body = f"nrgk_{stranger_id}_" + "A" * 43
    await sql(here, tenant, "UPDATE apikeys.keys SET revoked_at = now()")
    assert (await refusal(keys, body + crc32_base62(body))).code == "AUTH_UNAUTHORIZED"


async def test_the_first_reason_in_the_contracts_order_is_given(here: Any, tenant: str) -> None:
    keys = start(here, cache_ttl_s=0)
    minted = await mint(here, tenant)
    long_ago = "now() - interval '91 days'"
    await sql(here, tenant, f"UPDATE apikeys.keys SET created_at = {long_ago}")
    assert (await refusal(keys, minted.token)).code == "AUTH_INACTIVE_KEY"
    await sql(here, tenant, "UPDATE apikeys.keys SET expires_at = now()")
    assert (await refusal(keys, minted.token)).code == "AUTH_EXPIRED_KEY"
    async with here.db.tenant(tenant) as tx:
        await here.use(Directory).set_active(tx, "alice", False, by="test")
    assert (await refusal(keys, minted.token)).code == "AUTH_UNAUTHORIZED"
    await sql(here, tenant, "UPDATE apikeys.keys SET revoked_at = now()")
    assert (await refusal(keys, minted.token)).code == "AUTH_REVOKED_KEY"


async def test_inactivity_counts_from_the_last_use_and_only_when_enforced(here: Any, tenant: str) -> None:
    keys = start(here, inactive_days=10, cache_ttl_s=0)
    minted = await mint(here, tenant)
    await sql(here, tenant, "UPDATE apikeys.keys SET created_at = now() - interval '30 days'")
    await sql(here, tenant, "UPDATE apikeys.keys SET last_used_at = now() - interval '9 days 23 hours'")
    assert await ask(keys, minted.token)
    await sql(here, tenant, "UPDATE apikeys.keys SET last_used_at = now() - interval '10 days'")
    assert (await refusal(keys, minted.token)).code == "AUTH_INACTIVE_KEY"


async def test_inactivity_is_ignored_when_not_enforced(here: Any, tenant: str) -> None:
    keys = start(here, inactive_enforced=False)
    minted = await mint(here, tenant)
    await sql(here, tenant, "UPDATE apikeys.keys SET created_at = now() - interval '300 days'")
    assert await ask(keys, minted.token)


async def test_a_cached_key_expires_on_time_by_database_time(here: Any, tenant: str) -> None:
    keys = start(here)
    minted = await mint(here, tenant)
    await sql(here, tenant, "UPDATE apikeys.keys SET expires_at = now() + interval '10 seconds'")
    assert await ask(keys, minted.token)
    opened = here.db.opened
    here.clock.ahead_s = 9.0
    assert await ask(keys, minted.token)
    here.clock.ahead_s = 10.1
    assert (await refusal(keys, minted.token)).code == "AUTH_EXPIRED_KEY"
    assert here.db.opened == opened


async def test_a_revocation_elsewhere_ends_the_key_here_within_a_second(
    here: Any, elsewhere: Any, tenant: str
) -> None:
    keys, far_keys = start(here), start(elsewhere)
    minted = await mint(here, tenant)
    assert await ask(keys, minted.token)
    assert await ask(far_keys, minted.token)
    async with elsewhere.db.tenant(tenant) as tx:
        await elsewhere.use(KeyStore).change(tx, minted.id, KeyChange(revoke=True))
    assert (await refusal(far_keys, minted.token)).code == "AUTH_REVOKED_KEY"  # at once
    assert elsewhere.streams.cuts == [(tenant, None, minted.id)]
    started = time.monotonic()

    async def until_refused() -> None:
        while time.monotonic() - started < 1.0:
            await ask(keys, minted.token)
            await asyncio.sleep(0.01)

    with pytest.raises(Problem, match="AUTH_REVOKED_KEY"):
        await until_refused()


async def test_no_request_passes_after_the_bound_while_fifty_clients_hammer(
    here: Any, elsewhere: Any, tenant: str
) -> None:
    processes = {id(p): start(p) for p in (here, elsewhere)}
    minted = await mint(here, tenant)
    revoked_at = float("inf")
    late: list[float] = []
    stop = asyncio.Event()

    async def client(contribution: Any, bound: float) -> None:
        while not stop.is_set():
            started = time.monotonic()
            try:
                await ask(contribution, minted.token)
            except Problem:
                pass
            else:
                if started > revoked_at + bound:
                    late.append(started - revoked_at)
            await asyncio.sleep(0)

    bounds = ((processes[id(here)], 0.0), (processes[id(elsewhere)], 1.0))
    clients = [asyncio.create_task(client(*bounds[n % 2])) for n in range(50)]
    await asyncio.sleep(0.1)
    async with here.db.tenant(tenant) as tx:
        await here.use(KeyStore).change(tx, minted.id, KeyChange(revoke=True))
    revoked_at = time.monotonic()
    await asyncio.sleep(1.2)
    stop.set()
    await asyncio.gather(*clients)
    assert late == []


async def test_a_key_never_grants_more_than_its_user_has_now(here: Any, tenant: str) -> None:
    keys = start(here)
    reader = await mint(here, tenant, role=Role.READER)
    admin = await mint(here, tenant, role=Role.ADMIN)
    assert (await ask(keys, reader.token)).role is Role.READER
    assert (await ask(keys, admin.token)).role is Role.EDITOR  # what alice is
    async with here.db.tenant(tenant) as tx:
        await here.use(Directory).ensure_group(tx, "legal", "Legal")
        await here.use(Directory).set_role(tx, "alice", Role.READER, by="test")
        await here.use(Directory).set_groups(tx, "alice", frozenset({"legal"}))
    demoted = await ask(keys, admin.token)
    assert (demoted.role, demoted.groups) == (Role.READER, frozenset({"legal"}))


async def test_disabling_the_user_ends_every_key(here: Any, tenant: str) -> None:
    keys = start(here)
    minted = await mint(here, tenant)
    assert await ask(keys, minted.token)
    async with here.db.tenant(tenant) as tx:
        await here.use(Directory).set_active(tx, "alice", False, by="test")
    assert (await refusal(keys, minted.token)).code == "AUTH_UNAUTHORIZED"


async def test_a_database_that_is_away_is_503_not_401(here: Any, tenant: str) -> None:
    keys = start(here)
    minted = await mint(here, tenant)

    class Away:
        def anonymous(self) -> Any:
            raise Problem("SERVICE_UNAVAILABLE", "away")

    here.db = Away()
    refused = await refusal(keys, minted.token)
    assert (refused.status, refused.code) == (503, "AUTH_UNAVAILABLE")


@pytest.mark.parametrize("scheme", ["", "Bearer ", "bearer "])
async def test_another_header_carries_the_token_bare_or_as_bearer(
    here: Any, tenant: str, scheme: str
) -> None:
    keys = start(here, header="X-API-Key")
    token = (await mint(here, tenant)).token
    assert await ask(keys, None, ("X-Api-Key", scheme + token))
    assert await ask(keys, token) is None  # the standard header is no second door
    with pytest.raises(Problem):
        await ask(keys, None, ("X-Api-Key", token), ("x-api-key", token))


async def test_last_use_is_written_in_batches_and_survives_a_failure(here: Any, tenant: str) -> None:
    keys = start(here)
    write = keys.tickers[0].run
    first, second = await mint(here, tenant), await mint(here, tenant)
    for token in (first.token, second.token, first.token):
        await ask(keys, token)
    database, here.db = here.db, None
    with pytest.raises(AttributeError):
        await write()
    here.db = database
    opened = here.db.opened
    await write()
    assert here.db.opened == opened + 1
    async with here.db.tenant(tenant) as tx:
        used = await tx.fetch("SELECT last_used_at, now() AS at FROM apikeys.keys")
    assert [timedelta() <= row["at"] - row["last_used_at"] < timedelta(seconds=5) for row in used] == [
        True,
        True,
    ]
    await write()
    assert here.db.opened == opened + 2  # nothing new, nothing written


async def test_streams_end_when_their_key_expires(here: Any, tenant: str) -> None:
    keys = start(here)
    end = keys.tickers[1].run
    minted = await mint(here, tenant)
    await sql(here, tenant, "UPDATE apikeys.keys SET expires_at = now() + interval '60 seconds'")
    await ask(keys, minted.token)
    await end()
    assert here.streams.cuts == []
    here.clock.ahead_s = 61
    await end()
    await end()
    assert here.streams.cuts == [(tenant, None, minted.id)]


async def test_the_application_role_reads_no_key_without_a_tenant_but_through_find(
    here: Any, tenant: str, urls: Any
) -> None:
    start(here)
    minted = await mint(here, tenant)
    connection = await asyncpg.connect(urls.app)
    try:
        assert await connection.fetchval("SELECT count(*) FROM apikeys.keys") == 0
        assert await connection.fetchval("SELECT count(*) FROM apikeys.find($1)", minted.id) == 1
        definer = await connection.fetchrow(
            "SELECT prosecdef, proconfig, has_function_privilege('ragwork_backup', oid, 'EXECUTE') AS others"
            " FROM pg_proc WHERE oid = 'apikeys.find(text)'::regprocedure"
        )
    finally:
        await connection.close()
    assert definer["prosecdef"]
    assert definer["proconfig"] == ["search_path=pg_catalog, pg_temp"]
    assert not definer["others"]


async def test_nothing_kept_gives_the_token_back(here: Any, tenant: str, urls: Any) -> None:
    keys = start(here)
    minted = await mint(here, tenant)
    await ask(keys, minted.token)
    secret = minted.token.rpartition("_")[2]
    connection = await asyncpg.connect(urls.owner)
    try:
        await connection.execute("SET ROLE ragwork_owner")
        row = await connection.fetchval("SELECT k::text FROM apikeys.keys k WHERE id = $1", minted.id)
    finally:
        await connection.close()
    assert minted.id in row
    assert secret not in row
    assert secret not in repr(minted)
    known = await here.use(KeyStore).lookup.find(minted.id)
    assert here.use(KeyStore).digest(minted.token).hex() not in repr(known)
