"""The ``ApiKeys`` capability: a cap that holds in every race, and no right beyond the maker's."""

import asyncio
from typing import Any

import pytest
from multidict import CIMultiDict
from ragwork_apikeys import plugin
from ragwork_apikeys.config import ApiKeysConfig
from ragwork_directory import plugin as directory_plugin
from ragwork_hooks.auth import ApiKeys, Credential, Directory, Principal, Role
from ragwork_hooks.errors import Problem

CAP = 5


@pytest.fixture
def authenticator(here: Any) -> Any:
    here.boot(directory_plugin)
    return here.boot(plugin, ApiKeysConfig(max_active_keys=CAP)).authenticators[0]


@pytest.fixture
def far(elsewhere: Any) -> Any:
    elsewhere.boot(directory_plugin)
    elsewhere.boot(plugin, ApiKeysConfig(max_active_keys=CAP))
    return elsewhere


def boss(tenant: str) -> Principal:
    return Principal(tenant_id=tenant, user_id="boss", credential_id="k", kind="api_key", role=Role.ADMIN)


async def maker(here: Any, tenant: str, role: Role = Role.ADMIN, *, platform: bool = False) -> Principal:
    async with here.db.tenant(tenant) as tx:
        user = await here.use(Directory).ensure_user(tx, "boss", role, by="test")
    return Principal(
        tenant_id=tenant, user_id=user.id, credential_id="k", kind="api_key", role=role, platform=platform
    )


async def create(process: Any, by: Principal, **given: Any) -> Any:
    given = {"name": None, "role": Role.READER, "expires_in_days": None} | given
    async with process.db.tenant(by.tenant_id) as tx:
        return await process.use(ApiKeys).create(tx, by, **given)


async def keys_of(process: Any, tenant: str) -> Any:
    async with process.db.tenant(tenant) as tx:
        return await process.use(ApiKeys).list(tx)


async def sign_in(authenticator: Any, token: str) -> Any:
    credential = Credential(bearer=token, peer="", headers=CIMultiDict(Authorization=f"Bearer {token}"))
    return await authenticator.authenticate(credential)


async def test_sixty_racing_creations_on_two_processes_stop_exactly_at_the_cap(
    here: Any, authenticator: Any, far: Any, tenant: str
) -> None:
    by = await maker(here, tenant)
    outcomes = await asyncio.gather(
        *(create((here, far)[n % 2], by) for n in range(60)), return_exceptions=True
    )
    refused = [o for o in outcomes if isinstance(o, Problem)]
    assert len(outcomes) - len(refused) == CAP
    assert {(p.code, p.status, p.details["limit"]) for p in refused} == {("KEY_LIMIT_REACHED", 409, CAP)}
    assert [key.active for key in await keys_of(here, tenant)] == [True] * CAP
    # Another tenant's keys count for nothing here, and a revoked key makes room for one.
    await create(here, await maker(here, f"{tenant}-b"))
    async with here.db.tenant(tenant) as tx:
        await here.use(ApiKeys).revoke(tx, boss(tenant), (await keys_of(here, tenant))[0].id)
    again = await asyncio.gather(*(create(here, by) for _ in range(8)), return_exceptions=True)
    assert sum(not isinstance(o, Problem) for o in again) == 1


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("own", list(Role))
async def test_a_key_never_has_more_than_its_maker(
    here: Any, authenticator: Any, tenant: str, own: Role, role: Role
) -> None:
    by = await maker(here, tenant, own, platform=True)
    if role > own:
        with pytest.raises(Problem, match="AUTH_FORBIDDEN"):
            await create(here, by, role=role)
        assert await keys_of(here, tenant) == []
        return
    key, token = await create(here, by, name="ci", role=role)
    principal = await sign_in(authenticator, token)
    assert (principal.user_id, principal.role, principal.platform) == ("boss", role, False)
    assert (key.prefix, key.name, key.role, key.platform) == (token[:12], "ci", role, False)


async def test_a_key_ends_with_its_maker(here: Any, authenticator: Any, tenant: str) -> None:
    by = await maker(here, tenant)
    _, token = await create(here, by, role=Role.ADMIN)
    async with here.db.tenant(tenant) as tx:
        await here.use(Directory).set_role(tx, "boss", Role.READER, by="test")
    assert (await sign_in(authenticator, token)).role is Role.READER
    async with here.db.tenant(tenant) as tx:
        await here.use(Directory).set_active(tx, "boss", False, by="test")
    with pytest.raises(Problem, match="AUTH_UNAUTHORIZED") as refused:
        await sign_in(authenticator, token)
    assert refused.value.tenant_id == tenant
    assert [key.active for key in await keys_of(here, tenant)] == [False]


async def test_an_expiry_is_counted_on_the_databases_clock(
    here: Any, authenticator: Any, tenant: str
) -> None:
    key, token = await create(here, await maker(here, tenant), expires_in_days=2)
    assert (key.expires_at - key.created_at).total_seconds() == 2 * 86_400
    assert await sign_in(authenticator, token)
    here.clock.ahead_s = 2 * 86_400 + 1
    with pytest.raises(Problem, match="AUTH_EXPIRED_KEY") as refused:
        await sign_in(authenticator, token)
    assert refused.value.tenant_id == tenant


async def test_revoking_twice_does_it_once_and_foreign_keys_do_not_exist(
    here: Any, authenticator: Any, tenant: str
) -> None:
    key, token = await create(here, await maker(here, tenant))

    async def revoke(where: str) -> Any:
        async with here.db.tenant(where) as tx:
            return await here.use(ApiKeys).revoke(tx, boss(tenant), key.id)

    with pytest.raises(Problem, match="NOT_FOUND"):
        await revoke(f"{tenant}-b")
    assert await sign_in(authenticator, token)
    first, did = await revoke(tenant)
    second, did_again = await revoke(tenant)
    assert (did, did_again, first) == (True, False, second)
    assert not first.active
    with pytest.raises(Problem, match="AUTH_REVOKED_KEY") as refused:
        await sign_in(authenticator, token)
    assert refused.value.tenant_id == tenant


async def test_a_mere_claim_to_be_a_key_is_nobodys(here: Any, authenticator: Any, tenant: str) -> None:
    """Who knows a key's id, which lists show, can't write into its tenant's audit log."""
    from ragwork_apikeys.tokens import KEY
    from ragwork_toolkit.bearer_tokens.format import crc32_base62

    key, _ = await create(here, await maker(here, tenant))
    _, other = KEY.mint()
    body = f"{KEY.prefix}{key.id}_{other.split('_')[2][:43]}"
    with pytest.raises(Problem, match="AUTH_UNAUTHORIZED") as refused:
        await sign_in(authenticator, body + crc32_base62(body))
    assert refused.value.tenant_id is None


async def test_usable_keys_are_listed_before_old_revoked_ones_are_cut_off(
    here: Any, authenticator: Any, tenant: str
) -> None:
    by = await maker(here, tenant)
    oldest, _ = await create(here, by)
    async with here.db.tenant(tenant) as tx:
        await tx.execute(
            """INSERT INTO apikeys.keys (tenant_id, id, user_id, name, role, digest, revoked_at)
            SELECT ragwork.tenant(), lpad(n::text, 10, '0') || substr(md5(ragwork.tenant()), 1, 6), 'boss',
                'n', 'reader', decode(repeat('00', 32), 'hex'), now() FROM generate_series(1, 1005) AS n"""
        )
    listed = await keys_of(here, tenant)
    assert (len(listed), listed[-1].id, listed[-1].active) == (1_000, oldest.id, True)
