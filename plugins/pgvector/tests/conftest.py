"""A bench over a database with this plugin's migrations, made once and emptied for each test."""

from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import cast

import asyncpg
import pytest
import pytest_asyncio
from ragwork_hooks.retrieval import Embedder
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Database
from ragwork_kernel.data.db import Pool
from ragwork_kernel.work.outbox import OutboxEvents
from ragwork_pgvector import plugin
from ragwork_pgvector.index import LocalIndex
from ragwork_pgvector.retriever import LocalRetriever
from ragwork_pgvector.statistics import CorpusCounting, CorpusStatistics, StatisticsSource, load_statistics
from ragwork_pgvector.vectors import ALL_TABLES
from ragwork_testkit.database import FreshDatabase, PostgresServer
from ragwork_testkit.process import sources
from ragwork_testkit.retrieval import TENANT, Bench, WordEmbedder

TABLES = (
    "documents", "readers", "access_lists", "chunks", "postings", "corpus_statistics", "term_statistics",
)  # fmt: skip


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def index_database(postgres: PostgresServer) -> AsyncIterator[FreshDatabase]:
    async with postgres.database(sources(plugin)) as database:
        yield database


def kept(database: Database) -> StatisticsSource:
    """What is kept of a corpus, read anew each time."""

    async def statistics(tenant_id: str, corpus_id: str) -> CorpusStatistics:
        async with database.tenant(tenant_id, "read") as tx:
            return await load_statistics(tx, corpus_id)

    return statistics


@pytest_asyncio.fixture
async def bench(index_database: FreshDatabase) -> AsyncIterator[Bench]:
    pool = await Pool.open(
        index_database.app, size=4, statement_timeout_ms=30_000, codecs=plugin.ragwork_info().codecs
    )
    embedder = WordEmbedder()

    async def by_name(name: str) -> Embedder:
        assert name == embedder.name
        return embedder

    yield Bench(
        database=pool,
        index=LocalIndex(OutboxEvents([])),
        retriever=LocalRetriever(embedder=by_name, statistics=kept(pool)),
        embedder=embedder,
    )
    await pool.close()
    admin = await asyncpg.connect(index_database.admin)
    await admin.execute("TRUNCATE " + ", ".join([*(f"pgvector.{name}" for name in TABLES), *ALL_TABLES]))
    await admin.close()


def tasks(bench: Bench, *tenants: str) -> Services:
    """What a task over all tenants is made with."""

    async def listed() -> Sequence[str]:
        return tenants

    directory = SimpleNamespace(tenants=listed)
    return cast("Services", SimpleNamespace(db=bench.database, use=lambda _: directory))


@pytest.fixture
def counting(bench: Bench) -> CorpusCounting:
    return CorpusCounting(tasks(bench, TENANT))
