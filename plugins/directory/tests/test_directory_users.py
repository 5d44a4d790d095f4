"""Users, groups and epochs on the real database."""

import asyncio
import time
from typing import Any

import asyncpg
import pytest
from ragwork_directory import plugin
from ragwork_hooks.audit import PLATFORM_TENANT
from ragwork_hooks.auth import Directory, Role
from ragwork_hooks.errors import Problem


@pytest.fixture
def directory(here: Any) -> Any:
    here.boot(plugin)
    return here.use(Directory)


@pytest.fixture
def far_directory(elsewhere: Any) -> Any:
    elsewhere.boot(plugin)
    return elsewhere.use(Directory)


async def make(here: Any, directory: Any, tenant: str, user: str = "alice", role: Role = Role.EDITOR) -> Any:
    async with here.db.tenant(tenant) as tx:
        return await directory.ensure_user(tx, user, role, by="test")


async def test_ensure_user_makes_tenant_and_user_once_and_leaves_an_existing_role(
    here: Any, directory: Any, tenant: str
) -> None:
    first = await make(here, directory, tenant)
    again = await make(here, directory, tenant, role=Role.ADMIN)
    assert (first.tenant_id, first.id, first.role, first.active, first.epoch) == (
        tenant, "alice", Role.EDITOR, True, 1,
    )  # fmt: skip
    assert again == first


async def test_twenty_concurrent_creations_give_one_user(here: Any, directory: Any, tenant: str) -> None:
    made = await asyncio.gather(*(make(here, directory, tenant) for _ in range(20)))
    assert {user.created_at for user in made} == {made[0].created_at}


@pytest.mark.parametrize(
    ("change", "epochs", "cuts"),
    [
        (lambda d, tx: d.set_active(tx, "alice", False, by="test"), 1, 1),
        (lambda d, tx: d.set_active(tx, "alice", True, by="test"), 0, 0),
        (lambda d, tx: d.set_role(tx, "alice", Role.READER, by="test"), 1, 1),
        (lambda d, tx: d.set_role(tx, "alice", Role.ADMIN, by="test"), 1, 0),
        (lambda d, tx: d.set_role(tx, "alice", Role.EDITOR, by="test"), 0, 0),
        (lambda d, tx: d.set_groups(tx, "alice", frozenset({"a", "b"})), 1, 0),
        (lambda d, tx: d.set_groups(tx, "alice", frozenset()), 1, 1),
        (lambda d, tx: d.set_groups(tx, "alice", frozenset({"b"})), 1, 1),
        (lambda d, tx: d.set_groups(tx, "alice", frozenset({"a"})), 0, 0),
    ],
    ids=["disable", "enable", "demote", "promote", "same role", "join", "leave all", "move", "same groups"],
)
async def test_what_takes_rights_away_advances_the_epoch_and_cuts_streams(
    here: Any, directory: Any, tenant: str, change: Any, epochs: int, cuts: int
) -> None:
    await make(here, directory, tenant)
    async with here.db.tenant(tenant) as tx:
        await directory.ensure_group(tx, "a", "A")
        await directory.ensure_group(tx, "b", "B")
        before = await directory.set_groups(tx, "alice", frozenset({"a"}))
    here.streams.cuts.clear()
    async with here.db.tenant(tenant) as tx:
        after = await change(directory, tx)
        assert here.streams.cuts == []  # only the commit cuts
    assert after.epoch - before.epoch == epochs
    assert here.streams.cuts == [(tenant, "alice", None)] * cuts


async def test_a_change_elsewhere_reaches_the_cached_user_within_a_second(
    here: Any, elsewhere: Any, directory: Any, far_directory: Any, tenant: str
) -> None:
    await make(here, directory, tenant)
    assert (await directory.current(tenant, "alice")).active
    assert (await far_directory.current(tenant, "alice")).active
    async with elsewhere.db.tenant(tenant) as tx:
        await far_directory.set_active(tx, "alice", False, by="test")
    assert not (await far_directory.current(tenant, "alice")).active  # at once where it happened
    started = time.monotonic()
    while (await directory.current(tenant, "alice")).active:
        assert time.monotonic() - started < 1.0
        await asyncio.sleep(0.01)


async def test_a_warm_user_costs_no_transaction_and_a_rolled_back_change_drops_nothing(
    here: Any, directory: Any, tenant: str
) -> None:
    await make(here, directory, tenant)
    await directory.current(tenant, "alice")

    async def fail_after_a_change() -> None:
        async with here.db.tenant(tenant) as tx:
            await directory.set_role(tx, "alice", Role.READER, by="test")
            await directory.set_role(tx, "nobody", Role.READER, by="test")

    with pytest.raises(Problem, match="nobody"):
        await fail_after_a_change()
    opened = here.db.opened
    assert (await directory.current(tenant, "alice")).role is Role.EDITOR
    assert here.db.opened == opened
    assert here.streams.cuts == []


async def test_a_user_made_after_being_looked_for_is_found(here: Any, directory: Any, tenant: str) -> None:
    assert await directory.current(tenant, "alice") is None
    await make(here, directory, tenant)
    assert (await directory.current(tenant, "alice")).id == "alice"


async def test_unknown_users_and_groups_are_404_and_change_nothing(
    here: Any, directory: Any, tenant: str
) -> None:
    user = await make(here, directory, tenant)
    with pytest.raises(Problem, match="NOT_FOUND"):
        async with here.db.tenant(tenant) as tx:
            await directory.set_role(tx, "bob", Role.ADMIN, by="test")
    with pytest.raises(Problem, match="NOT_FOUND: group 'ghost'"):
        async with here.db.tenant(tenant) as tx:
            await directory.set_groups(tx, "alice", frozenset({"ghost"}))
    async with here.db.tenant(tenant) as tx:
        assert await directory.user(tx, "alice") == user


async def test_another_tenants_user_does_not_exist(here: Any, directory: Any, tenant: str) -> None:
    await make(here, directory, tenant)
    async with here.db.tenant(f"{tenant}-b") as tx:
        assert await directory.user(tx, "alice") is None
        assert await directory.users(tx, ["alice"]) == {}
        assert (await tx.fetchval("SELECT count(*) FROM directory.tenants")) == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with here.db.tenant(f"{tenant}-b") as tx:
            await tx.execute("INSERT INTO directory.tenants (tenant_id) VALUES ($1)", tenant)
    async with here.db.anonymous() as tx:
        assert (await tx.fetchval("SELECT count(*) FROM directory.users")) == 0


async def test_concurrent_group_changes_do_not_overwrite_each_other_unseen(
    here: Any, directory: Any, tenant: str
) -> None:
    await make(here, directory, tenant)
    async with here.db.tenant(tenant) as tx:
        await directory.ensure_group(tx, "a", "A")
    joined = asyncio.Event()

    async def join() -> None:
        async with here.db.tenant(tenant) as tx:
            await directory.set_groups(tx, "alice", frozenset({"a"}))
            joined.set()
            await asyncio.sleep(0.1)

    async def leave() -> Any:
        await joined.wait()
        async with here.db.tenant(tenant) as tx:
            # Waits for the lock; must then see the membership it is to remove.
            return await directory.set_groups(tx, "alice", frozenset())

    _, left = await asyncio.gather(join(), leave())
    assert left.groups == frozenset()
    async with here.db.tenant(tenant) as tx:
        assert (await directory.user(tx, "alice")).groups == frozenset()


async def test_system_tasks_see_the_ids_of_all_tenants_in_order(
    here: Any, directory: Any, tenant: str
) -> None:
    made = [f"{tenant}-{end}" for end in ("b", "A", "a", "1")]
    await asyncio.gather(*(make(here, directory, t) for t in made))
    async with here.db.tenant(f"{tenant}-c") as tx:
        await directory.ensure_tenant(tx)
    found = await directory.tenants()
    assert [t for t in found if t.startswith(tenant)] == sorted([*made, f"{tenant}-c"])
    assert found == sorted(set(found))


async def test_nobody_belongs_to_the_platforms_own_tenant(here: Any, directory: Any) -> None:
    for attempt in (
        lambda tx: directory.ensure_tenant(tx),
        lambda tx: directory.ensure_user(tx, "alice", Role.READER, by="test"),
        lambda tx: directory.ensure_group(tx, "g", "G"),
    ):
        with pytest.raises(Problem, match="VALIDATION_ERROR"):
            async with here.db.tenant(PLATFORM_TENANT) as tx:
                await attempt(tx)
    with pytest.raises(asyncpg.CheckViolationError):
        async with here.db.tenant(PLATFORM_TENANT) as tx:
            await tx.execute("INSERT INTO directory.tenants (tenant_id) VALUES (ragwork.tenant())")
    assert PLATFORM_TENANT not in await directory.tenants()
