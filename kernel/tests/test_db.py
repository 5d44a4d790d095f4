"""Tenant-bound transactions: no other tenant's rows, no leak through a connection, bounded failure."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from ragwork_hooks.errors import Problem
from ragwork_hooks.storage import Mode
from ragwork_kernel.data import migrations
from ragwork_kernel.data.db import TENANT_ID, Pool, check_tenant_id
from ragwork_testkit.database import FreshDatabase, PostgresServer
from ragwork_testkit.wire_format import counted
from serving import route, serving

NOTES = """
CREATE TABLE public.notes (tenant_id text NOT NULL, id int, PRIMARY KEY (tenant_id, id));
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.notes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON public.notes FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes TO ragwork_app;
CREATE TABLE public.late (id int PRIMARY KEY, other int REFERENCES public.late DEFERRABLE INITIALLY DEFERRED);
GRANT ALL ON public.late TO ragwork_app;
"""
ADD = "INSERT INTO public.notes VALUES ($1, $2)"
COUNT = "SELECT count(*) FROM public.notes"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(postgres: PostgresServer) -> AsyncIterator[FreshDatabase]:
    """One database with a tenant table, for the module."""
    async with postgres.database([migrations.KERNEL]) as fresh:
        admin = await asyncpg.connect(fresh.admin)
        await admin.execute(NOTES)
        await admin.close()
        yield fresh


@pytest_asyncio.fixture
async def database(shared: FreshDatabase) -> FreshDatabase:
    """The same, emptied."""
    admin = await asyncpg.connect(shared.admin)
    await admin.execute("TRUNCATE public.notes, public.late")
    await admin.close()
    return shared


@contextlib.asynccontextmanager
async def pooled(
    database: FreshDatabase, size: int = 2, acquire_timeout_s: float = 0.4, dsn: str | None = None
) -> AsyncIterator[Pool]:
    pool = await Pool.open(
        dsn or database.app, size=size, statement_timeout_ms=5000, acquire_timeout_s=acquire_timeout_s
    )
    try:
        yield pool
    finally:
        await pool.close()


async def total(database: FreshDatabase) -> int:
    """Rows of all tenants, as a superuser sees them."""
    admin = await asyncpg.connect(database.admin)
    count: int = await admin.fetchval(COUNT)
    await admin.close()
    return count


async def test_a_transaction_sees_and_writes_its_own_tenant_alone(database: FreshDatabase) -> None:
    async with pooled(database) as pool:
        for tenant in ("t1", "t2"):
            async with pool.tenant(tenant) as tx:
                await tx.execute(ADD, tenant, 1)
        async with pool.tenant("t1") as tx:
            assert [r["tenant_id"] for r in await tx.fetch("SELECT * FROM public.notes")] == ["t1"]
            assert await tx.execute("DELETE FROM public.notes WHERE tenant_id = 't2'") == "DELETE 0"
            assert await tx.execute("UPDATE public.notes SET id = 9 WHERE tenant_id = 't2'") == "UPDATE 0"
        for statement in (
            "INSERT INTO public.notes VALUES ('t2', 5)",
            "UPDATE public.notes SET tenant_id = 't2'",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with pool.tenant("t1") as tx:
                    await tx.execute(statement)
    assert await total(database) == 2


async def test_without_a_tenant_there_are_no_rows_and_no_writes(database: FreshDatabase) -> None:
    async with pooled(database) as pool:
        async with pool.tenant("t1") as tx:
            await tx.execute(ADD, "t1", 1)
        async with pool.anonymous() as tx:
            assert (tx.tenant_id, tx.mode) == ("", "read")
            assert await tx.fetchval(COUNT) == 0
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            async with pool.anonymous() as tx:
                await tx.execute(ADD, "", 1)
    connection = await asyncpg.connect(database.app)
    assert await connection.fetchval(COUNT) == 0
    await connection.close()


async def test_a_read_transaction_cannot_write(database: FreshDatabase) -> None:
    async with pooled(database) as pool:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            async with pool.tenant("t1", "read") as tx:
                await tx.execute(ADD, "t1", 1)


async def test_a_read_is_one_round_trip_a_statement_and_a_change_one_more_for_its_commit(
    database: FreshDatabase,
) -> None:
    async with counted(database.app) as trips, pooled(database, size=1, dsn=trips.dsn) as pool:

        async def reads() -> None:
            async with pool.tenant("t1", "read") as tx:
                assert await tx.fetchval(COUNT) == 1
                assert len(await tx.fetch("SELECT * FROM public.notes")) == 1

        async def writes(number: int) -> None:
            async with pool.tenant("t1") as tx:
                await tx.execute(ADD, "t1", number)
                await tx.fetchval(COUNT)

        await writes(1)
        await reads()  # both have their statements prepared now
        trips.reset()
        await reads()
        assert trips.count == 2
        trips.reset()
        await writes(2)
        assert trips.count == 3
        trips.reset()
        async with pool.tenant("t1"):
            pass
        assert trips.count == 0


@pytest.mark.parametrize("mode", ["read", "write"])
async def test_an_argument_that_does_not_fit_leaves_a_usable_transaction(
    database: FreshDatabase, mode: Mode
) -> None:
    async with pooled(database, size=1) as pool:
        for _ in range(3):
            async with pool.tenant("t1", mode) as tx:
                for unfit in ("no number", 2**40):
                    with pytest.raises(asyncpg.DataError):
                        await tx.fetchval("SELECT $1::int", unfit)
                assert await tx.fetchval("SELECT ragwork.tenant() || $1::int", 1) == "t11"
        if mode == "write":
            async with pool.tenant("t1") as tx:
                with pytest.raises(asyncpg.DataError):
                    await tx.execute(ADD, "t1", "no number")
                await tx.execute(ADD, "t1", 1)
    assert await total(database) == (1 if mode == "write" else 0)


async def test_nothing_is_changed_after_a_first_statement_that_failed(database: FreshDatabase) -> None:
    async with pooled(database, size=1) as pool:

        async def goes_on_after(first: str) -> None:
            async with pool.tenant("t1") as tx:
                with contextlib.suppress(asyncpg.DivisionByZeroError, asyncpg.UndefinedTableError):
                    await tx.fetchval(first, 0)
                await tx.execute(ADD, "t1", 1)
                await tx.fetchval("SELECT 1 / $1::int", 0)

        for first in ("SELECT 1 / $1::int", "SELECT $1::int FROM public.nowhere"):
            with pytest.raises(asyncpg.PostgresError):
                await goes_on_after(first)
        assert await total(database) == 0
        async with pool.tenant("t2", "read") as tx:
            assert await tx.fetchval("SELECT ragwork.tenant()") == "t2"


async def test_what_two_tasks_ask_at_once_in_one_transaction_is_refused_and_harms_nobody(
    database: FreshDatabase,
) -> None:
    async with pooled(database, size=1) as pool:
        for mode in ("read", "write"):
            async with pool.tenant("t1", "read" if mode == "read" else "write") as tx:
                slow, quick = await asyncio.gather(
                    tx.fetchval("SELECT pg_sleep($1) IS NOT NULL", 0.1),
                    tx.fetchval("SELECT $1::int", 1),
                    return_exceptions=True,
                )
                assert slow is True
                assert isinstance(quick, asyncpg.InterfaceError)
                assert await tx.fetchval("SELECT ragwork.tenant()") == "t1"


@pytest.mark.parametrize("mode", ["read", "write"])
async def test_a_statement_whose_types_are_looked_up_first_has_its_tenant(
    database: FreshDatabase, mode: Mode
) -> None:
    admin = await asyncpg.connect(database.admin)
    await admin.execute(f"CREATE TYPE public.pair_{mode} AS (tenant text, id int)")
    await admin.close()
    async with pooled(database, size=1) as pool:
        async with pool.tenant("t1") as tx:
            await tx.execute(ADD, "t1", 1)
        async with pool.tenant("t1", mode) as tx:
            sql = f"SELECT (tenant_id, id)::public.pair_{mode} FROM public.notes"
            assert [tuple(row[0]) for row in await tx.fetch(sql)] == [("t1", 1)]


async def test_a_result_that_changed_its_shape_is_an_error_once_and_never_an_empty_answer(
    database: FreshDatabase,
) -> None:
    admin = await asyncpg.connect(database.admin)
    await admin.execute("ALTER TABLE public.notes ADD COLUMN more int DEFAULT 7")
    sql, seen = "SELECT * FROM public.notes", []
    try:
        async with pooled(database, size=1) as pool:
            async with pool.tenant("t1") as tx:
                await tx.execute("INSERT INTO public.notes VALUES ($1, $2)", "t1", 1)
            async with pool.tenant("t1", "read") as tx:
                assert len(await tx.fetch(sql)) == 1
            await admin.execute("ALTER TABLE public.notes DROP COLUMN more")
            for _ in range(3):
                try:
                    async with pool.tenant("t1", "read") as tx:
                        seen.append(len(await tx.fetch(sql)))
                except asyncpg.InvalidCachedStatementError:
                    seen.append(-1)
    finally:
        await admin.execute("ALTER TABLE public.notes DROP COLUMN IF EXISTS more")
        await admin.close()
    assert seen == [-1, 1, 1]


async def test_several_statements_at_once_and_many_rows_are_bound_like_all(database: FreshDatabase) -> None:
    async with pooled(database, size=1) as pool:
        async with pool.tenant("t1") as tx:
            await tx.executemany(ADD, [("t1", n) for n in range(3)])
        async with pool.tenant("t1") as tx:
            await tx.execute("DELETE FROM public.notes WHERE id = 0; DELETE FROM public.notes WHERE id = 1")
        async with pool.tenant("t1", "read") as tx:
            await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            assert await tx.fetchval("SELECT current_setting('transaction_isolation')") == "repeatable read"
            assert await tx.fetchval(COUNT) == 1
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            async with pool.tenant("t1", "read") as tx:
                await tx.execute("DELETE FROM public.notes")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with pool.tenant("t1") as tx:
                await tx.executemany(ADD, [("t2", 1)])
    assert await total(database) == 1


async def test_a_transaction_that_is_over_asks_nothing_more(database: FreshDatabase) -> None:
    async with pooled(database, size=1) as pool:
        async with pool.tenant("t1") as over:
            await over.execute(ADD, "t1", 1)
        async with pool.tenant("t2") as tx:
            for ask in (over.fetchval(COUNT), over.execute(COUNT), over.execute(ADD, "t1", 2)):
                with pytest.raises(asyncpg.InterfaceError):
                    await ask
            assert await tx.fetchval(COUNT) == 0


HOSTILE = [
    "",
    " ",
    "t1'",
    "t1'; DROP TABLE notes; --",
    "t1\\",
    "t1\x00",
    "t1\n",
    "é",
    "-t",
    ".",
    "t" * 129,
    "t1 ",
]


@pytest.mark.parametrize("tenant", HOSTILE, ids=repr)
async def test_a_hostile_tenant_id_reaches_no_database(tenant: str) -> None:
    with pytest.raises(ValueError, match="tenant"):
        Pool(None, 1, None, None).tenant(tenant)  # type: ignore[arg-type]  # never touched: refused before


@given(tenant=st.text(max_size=140))
def test_no_accepted_tenant_id_can_end_its_quote(tenant: str) -> None:
    if TENANT_ID.fullmatch(tenant):
        assert check_tenant_id(tenant) == tenant
        assert not set(tenant) & set("'\"\\\x00\n;$")
    else:
        with pytest.raises(ValueError, match="tenant id"):
            check_tenant_id(tenant)


async def test_an_exception_rolls_back_and_a_commit_tells_in_order(database: FreshDatabase) -> None:
    told: list[str] = []
    async with pooled(database) as pool:

        async def fails() -> None:
            async with pool.tenant("t1") as tx:
                await tx.execute(ADD, "t1", 1)
                tx.on_commit(lambda: told.append("never"))
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await fails()
        assert (told, await total(database)) == ([], 0)
        async with pool.tenant("t1") as tx:
            await tx.execute(ADD, "t1", 1)
            tx.on_commit(lambda: told.append("first"))
            tx.on_commit(lambda: told.append("second"))
            assert told == []
    assert (told, await total(database)) == (["first", "second"], 1)


async def test_a_commit_that_fails_tells_nobody(database: FreshDatabase) -> None:
    told: list[str] = []
    async with pooled(database, size=1) as pool:

        async def dangles() -> None:
            async with pool.tenant("t1") as tx:
                await tx.execute("INSERT INTO public.late VALUES (1, 99)")
                tx.on_commit(lambda: told.append("never"))

        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await dangles()
        async with pool.tenant("t1") as tx:
            assert await tx.fetchval("SELECT count(*) FROM public.late") == 0
    assert told == []


@pytest.mark.parametrize(
    "statement", ["SELECT pg_sleep(30)", None], ids=["in a statement", "between statements"]
)
async def test_cancelling_rolls_back_and_leaves_a_usable_connection(
    database: FreshDatabase, statement: str | None
) -> None:
    inside = asyncio.Event()

    async def work(pool: Pool) -> None:
        async with pool.tenant("t1") as tx:
            await tx.execute(ADD, "t1", 1)
            inside.set()
            if statement is None:
                await asyncio.sleep(30)
            else:
                await tx.execute(statement)

    async with pooled(database, size=1) as pool:
        task = asyncio.create_task(work(pool))
        await inside.wait()
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with pool.tenant("t2") as tx:
            assert await tx.fetchval("SELECT ragwork.tenant()") == "t2"
            await tx.execute(ADD, "t2", 1)
    assert await total(database) == 1


async def test_cancelling_at_any_moment_never_poisons_the_pool(database: FreshDatabase) -> None:
    """Cancel after ever longer waits, twice in a row, through begin, work, commit and rollback."""

    async def work(pool: Pool, n: int) -> None:
        async with pool.tenant("t1") as tx:
            await tx.execute("INSERT INTO public.notes VALUES ('t1', $1)", n)
            if n % 2:
                raise RuntimeError

    async with pooled(database, size=1, acquire_timeout_s=2) as pool:
        for n in range(150):
            task = asyncio.create_task(work(pool, n))
            for _ in range(n % 15):
                await asyncio.sleep(0)
            await asyncio.sleep((n % 10) / 8000)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            async with pool.tenant("t2", "read") as tx:
                assert await tx.fetchval("SELECT ragwork.tenant()") == "t2"
                assert await tx.fetchval(COUNT) == 0
        async with pool.tenant("t1", "read") as tx:
            assert await tx.fetchval("SELECT count(*) FROM public.notes WHERE id % 2 = 1") == 0


async def test_a_connection_lost_in_a_transaction_is_503_and_the_next_works(database: FreshDatabase) -> None:
    admin = await asyncpg.connect(database.admin)
    async with pooled(database, size=1) as pool:

        async def cut_off() -> None:
            async with pool.tenant("t1") as tx:
                pid = await tx.fetchval("SELECT pg_backend_pid()")
                await admin.execute("SELECT pg_terminate_backend($1)", pid)
                await asyncio.sleep(0.1)
                await tx.execute(ADD, "t1", 1)

        with pytest.raises(Problem) as lost:
            await cut_off()
        assert (lost.value.status, lost.value.code) == (503, "SERVICE_UNAVAILABLE")
        assert "Retry-After" in lost.value.headers
        async with pool.tenant("t1") as tx:
            await tx.execute(ADD, "t1", 2)
    await admin.close()
    assert await total(database) == 1


async def test_a_connection_lost_while_idle_costs_at_most_one_503(database: FreshDatabase) -> None:
    admin = await asyncpg.connect(database.admin)
    async with pooled(database, size=1) as pool:
        async with pool.tenant("t1") as tx:
            pid = await tx.fetchval("SELECT pg_backend_pid()")
        await admin.execute("SELECT pg_terminate_backend($1)", pid)
        refused: list[int] = []
        for _ in range(3):
            try:
                async with pool.tenant("t1") as tx:
                    await tx.fetchval("SELECT 1")
            except Problem as problem:
                refused.append(problem.status)
        assert refused in ([], [503])
        await pool.ping()
    await admin.close()


async def test_an_exhausted_pool_answers_503_in_bounded_time(database: FreshDatabase) -> None:
    taken, over = asyncio.Event(), asyncio.Event()

    async def hold(pool: Pool) -> None:
        async with pool.tenant("t1"):
            taken.set()
            await over.wait()

    async with pooled(database, size=1, acquire_timeout_s=0.3) as pool:
        holder = asyncio.create_task(hold(pool))
        await taken.wait()
        started = time.monotonic()
        with pytest.raises(Problem) as refused:
            async with pool.tenant("t2"):
                pass
        assert refused.value.status == 503
        assert time.monotonic() - started < 1
        over.set()
        await holder
        async with pool.tenant("t2") as tx:
            assert await tx.fetchval("SELECT 1") == 1


async def test_a_tenant_with_many_transactions_delays_another_by_one(database: FreshDatabase) -> None:
    order: list[str] = []

    async def transact(pool: Pool, tenant: str) -> None:
        async with pool.tenant(tenant) as tx:
            order.append(tenant)  # on its turn, which how fast the machine is has no part in
            await tx.fetchval("SELECT pg_sleep(0.01)")

    async with pooled(database, size=2) as pool:
        crowd = [asyncio.create_task(transact(pool, "greedy")) for _ in range(30)]
        await asyncio.sleep(0.02)
        before = len(order)
        await transact(pool, "modest")
        assert "modest" in order[before : before + 2]
        await asyncio.gather(*crowd)


async def test_who_holds_a_connection_gets_a_second_although_all_hold_one(database: FreshDatabase) -> None:
    """As where each of many requests comes to a cache that loads, within its transaction."""

    async def nested(pool: Pool, tenant: str) -> int:
        async with pool.tenant(tenant):
            for _ in range(2):
                async with asyncio.TaskGroup() as group:
                    load = group.create_task(one(pool, tenant))
            return load.result()

    async def one(pool: Pool, tenant: str) -> int:
        async with pool.tenant(tenant, "read") as tx:
            return int(await tx.fetchval("SELECT 1"))

    async with pooled(database, size=3, acquire_timeout_s=3) as pool:
        assert await asyncio.gather(*(nested(pool, f"t{n}") for n in range(30))) == [1] * 30


@pytest.mark.usefixtures("no_second_connection")
async def test_one_connection_is_enough_for_a_whole_request(database: FreshDatabase) -> None:
    """A request that holds its transaction must never wait for a second connection."""

    async def handler(call: Any) -> object:
        await call.tx.execute(ADD, call.principal.tenant_id, 1)
        return {"rows": await call.tx.fetchval(COUNT)}

    declared = route(handler, method="POST", transaction="write", rate_class="mutation")
    async with serving(database.app, declared, pool_size=1, pool_overflow=0) as served:
        status, answer, _ = await served.call("POST")
    assert (status, answer["data"]) == (200, {"rows": 1})


async def test_alternating_tenants_on_few_connections_never_mixes_rows(database: FreshDatabase) -> None:
    tenants = [f"t{n}" for n in range(10)]

    async def work(pool: Pool, tenant: str, n: int) -> None:
        try:
            async with pool.tenant(tenant) as tx:
                await tx.execute(ADD, tenant, n)
                assert {r["tenant_id"] for r in await tx.fetch("SELECT * FROM public.notes")} == {tenant}
                if n % 5 == 0:
                    raise RuntimeError
        except RuntimeError:
            pass

    async with pooled(database, size=3, acquire_timeout_s=10) as pool:
        await asyncio.gather(*(work(pool, tenant, n) for n in range(20) for tenant in tenants))
        for tenant in tenants:
            async with pool.tenant(tenant, "read") as tx:
                assert await tx.fetchval(COUNT) == 16
    assert await total(database) == 160


async def test_json_columns_travel_as_objects(database: FreshDatabase) -> None:
    async with pooled(database) as pool, pool.tenant("t1", "read") as tx:
        value = {"a": [1, None, "ü"], "b": {"c": 1.5}}
        assert await tx.fetchval("SELECT $1::jsonb", value) == value


async def test_codecs_are_awaited_once_a_connection_and_never_for_a_request(database: FreshDatabase) -> None:
    seen: list[int] = []

    async def register(connection: "asyncpg.Connection[Any]") -> None:
        seen.append(connection.get_server_pid())
        await connection.set_type_codec(
            "money", schema="pg_catalog", encoder=str, decoder=lambda v: ("money", v)
        )

    pool = await Pool.open(database.app, size=3, statement_timeout_ms=5000, codecs=(register,))
    try:
        for _ in range(3):
            async with pool.tenant("t1") as one, pool.tenant("t2") as two, pool.tenant("t1") as three:
                for tx in (one, two, three):
                    assert (await tx.fetchval("SELECT 3::money"))[0] == "money"
                    assert await tx.fetchval("SELECT '[1]'::jsonb") == [1]  # the kernel's own stay
        assert len(seen) == len(set(seen)) == 3
    finally:
        await pool.close()
