"""A task over all tenants does what it can, and says what it could not."""

import logging

import asyncpg
import pytest
from ragwork_hooks.storage import Transaction
from ragwork_kernel.data.db import Pool
from ragwork_testkit.database import FreshDatabase
from ragwork_toolkit.tenants import Summary, for_each_tenant, visit

_DONE = "CREATE TABLE public.done (tenant text); GRANT ALL ON public.done TO ragwork_app"


async def test_a_tenant_that_fails_is_rolled_back_and_the_others_are_done(
    database: FreshDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    admin = await asyncpg.connect(database.admin)
    await admin.execute(_DONE)

    async def work(tx: Transaction) -> int:
        await tx.execute("INSERT INTO public.done VALUES (ragwork.tenant())")
        await tx.execute(f"SELECT 1 / {int(tx.tenant_id != 'b')}")
        return 2

    pool = await Pool.open(database.app, size=1, statement_timeout_ms=30_000)
    with caplog.at_level(logging.ERROR, "ragwork_toolkit"):
        summary = await for_each_tenant(pool, ["a", "b", "c"], work)
    await pool.close()
    done = await admin.fetch("SELECT tenant FROM public.done ORDER BY 1")
    await admin.close()
    assert summary == Summary(tenants=3, failed=("b",), total=4)
    assert [row["tenant"] for row in done] == ["a", "c"]
    [record] = caplog.records
    assert "failed for b" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is asyncpg.DivisionByZeroError


async def test_the_summary_names_who_failed() -> None:
    async def work(tenant_id: str) -> int:
        return 1 // (len(tenant_id) - 1)

    assert (await visit([], work)).complete() == 0
    assert (await visit(["t2", "t3"], work)).complete() == 2
    with pytest.raises(RuntimeError, match=r"^1 of 2 tenants failed, the others are done: t;"):
        (await visit(["t", "t2"], work)).complete()
    with pytest.raises(RuntimeError, match=r"^11 of 11 tenants .*: (t, ){10}…;"):
        (await visit(["t"] * 11, work)).complete()
