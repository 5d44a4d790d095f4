"""Uses are written in batches, and those that could not be written are not lost."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import asyncpg
import pytest
from ragwork_hooks.storage import Transaction
from ragwork_testkit.database import FreshDatabase
from ragwork_testkit.process import PluginProcess, plugin_process
from ragwork_toolkit.last_used import LastUsed

_USES = "CREATE TABLE public.uses (tenant text, token text, ago_s float8); GRANT ALL ON public.uses TO ragwork_app"


@pytest.fixture
async def here(database: FreshDatabase) -> AsyncIterator[PluginProcess]:
    admin = await asyncpg.connect(database.admin)
    await admin.execute(_USES)
    await admin.close()
    async with plugin_process(database.urls) as process:
        yield process


@pytest.fixture
def used(here: PluginProcess) -> LastUsed:
    services: Any = here
    return LastUsed(services, _touch)


async def _touch(tx: Transaction, seconds_ago: Mapping[str, float]) -> None:
    if "bad" in seconds_ago:
        await tx.execute("SELECT 1 / 0")
    await tx.execute(
        "INSERT INTO public.uses SELECT ragwork.tenant(), * FROM unnest($1::text[], $2::float8[])",
        list(seconds_ago),
        list(seconds_ago.values()),
    )


async def written(here: PluginProcess) -> list[tuple[str, str, int]]:
    async with here.db.anonymous() as tx:
        rows = await tx.fetch("SELECT * FROM public.uses ORDER BY tenant, token")
    return [(row["tenant"], row["token"], round(row["ago_s"])) for row in rows]


async def test_a_tenants_uses_are_one_statement_and_only_the_last_of_each_token(
    here: PluginProcess, used: LastUsed
) -> None:
    used.note("a", "one")
    here.clock.ahead_s += 30
    for tenant, token in (("a", "one"), ("a", "two"), ("b", "one")):
        used.note(tenant, token)
    here.clock.ahead_s += 20
    await used.write()
    assert (here.db.opened, here.db.statements) == (2, 2)
    assert await written(here) == [("a", "one", 20), ("a", "two", 20), ("b", "one", 20)]
    opened = here.db.opened
    await used.write()
    assert here.db.opened == opened


async def test_what_fails_is_kept_and_holds_up_nobody_else(here: PluginProcess, used: LastUsed) -> None:
    used.note("a", "bad")
    used.note("a", "good")
    used.note("b", "good")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await used.write()
    assert await written(here) == []
    here.clock.ahead_s += 10
    used.note("a", "good")
    for _ in range(2):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await used.write()
    assert await written(here) == [("b", "good", 10)]
    del used._used["a"]["bad"]
    here.clock.ahead_s += 5
    await used.write()
    assert await written(here) == [("a", "good", 5), ("b", "good", 10)]
