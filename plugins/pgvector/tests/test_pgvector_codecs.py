"""Vectors travel packed: to the database, back, and without asking it anything between."""

import asyncpg
import pytest
from ragwork_hooks.authz import Everything
from ragwork_hooks.retrieval import Query
from ragwork_hooks.storage import Transaction
from ragwork_kernel.data.db import Pool
from ragwork_kernel.work.outbox import OutboxEvents
from ragwork_pgvector import plugin
from ragwork_pgvector.index import LocalIndex
from ragwork_pgvector.vectors import packed
from ragwork_testkit.database import FreshDatabase, PostgresServer
from ragwork_testkit.retrieval import TENANT, Bench
from ragwork_testkit.wire_format import counted

CODECS = plugin.ragwork_info().codecs
#: COMMIT; BEGIN travels with the first statement.
AROUND = 1


async def test_a_vector_and_an_array_of_vectors_go_there_and_back(bench: Bench) -> None:
    sent = [packed([1, -0.5, 65_504.0]), packed((2**-24, 0.1, -0.0)), None]
    async with bench.database.tenant(TENANT, "read") as tx:
        assert await tx.fetchval("SELECT $1::public.halfvec(3)", sent[0]) == sent[0]
        assert await tx.fetchval("SELECT $1::public.halfvec[]", sent) == sent
        assert await tx.fetchval("SELECT $1::public.halfvec::text", sent[0]) == "[1,-0.5,65504]"
    with pytest.raises(OverflowError):
        packed([65_520.0])


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
async def test_what_is_no_number_is_refused_by_the_database(bench: Bench, broken: float) -> None:
    with pytest.raises(asyncpg.DataError):
        async with bench.database.tenant(TENANT, "read") as tx:
            await tx.fetchval("SELECT $1::public.halfvec", packed([broken]))


async def test_a_known_connection_is_asked_nothing_beside_the_statements(
    index_database: FreshDatabase, bench: Bench
) -> None:
    async with counted(index_database.app) as trips:
        pool = await Pool.open(trips.dsn, size=1, statement_timeout_ms=30_000, codecs=CODECS)
        query = Query(corpus_id="c", text="tide", top_k=3, embedder="words")
        prepared = await bench.retriever.prepare(TENANT, query)
        index = LocalIndex(OutboxEvents([]))

        async def ranked(tx: Transaction) -> None:
            await prepared.passages(tx, Everything())

        async def written(tx: Transaction) -> None:
            await index.replace(tx, bench.document("a", *(f"tide {n}" for n in range(20))))

        found = {}
        for work in (written, ranked, written, ranked):
            trips.reset()
            async with pool.tenant(TENANT) as tx:
                await work(tx)
            found[work] = trips.count
        await pool.close()
    assert found == {written: AROUND + 2, ranked: AROUND + 1}


async def test_a_database_without_the_extension_can_be_connected_to(postgres: PostgresServer) -> None:
    async with postgres.database([]) as fresh:
        admin = await asyncpg.connect(fresh.admin)
        await admin.execute("DROP EXTENSION vector")
        await admin.close()
        pool = await Pool.open(fresh.app, size=1, statement_timeout_ms=5000, codecs=CODECS)
        await pool.ping()
        await pool.close()
