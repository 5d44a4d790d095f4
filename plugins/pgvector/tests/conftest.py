"""A bench over a fresh database with this plugin's migrations."""

from collections.abc import AsyncIterator

import attrs
import pytest_asyncio
from ragwork_hooks.retrieval import Embedder
from ragwork_kernel import migrations
from ragwork_kernel.db import Pool
from ragwork_pgvector import plugin
from ragwork_pgvector.index import LocalIndex
from ragwork_pgvector.retriever import LocalRetriever
from ragwork_testkit.database import Database, PostgresServer
from ragwork_testkit.retrieval import Bench, WordEmbedder


@pytest_asyncio.fixture
async def index_database(postgres: PostgresServer) -> AsyncIterator[Database]:
    info = plugin.ragwork_info()
    assert info.migrations is not None
    source = migrations.Source(plugin=info.name, schema="pgvector", folder=info.migrations)
    async with postgres.database([migrations.KERNEL, source]) as database:
        yield database


@pytest_asyncio.fixture
async def bench(index_database: Database) -> AsyncIterator[Bench]:
    pool = await Pool.open(index_database.app, size=4, statement_timeout_ms=30_000)
    yield bench_over(pool, WordEmbedder())
    await pool.close()


def bench_over(pool: Pool, embedder: WordEmbedder) -> Bench:
    async def by_name(name: str) -> Embedder:
        assert name == embedder.name
        return embedder

    return Bench(database=pool, index=LocalIndex(), retriever=LocalRetriever(by_name), embedder=embedder)


def with_dimension(bench: Bench, dimension: int) -> Bench:
    """The same index with vectors of ``dimension`` numbers."""
    assert isinstance(bench.database, Pool)
    return attrs.evolve(bench_over(bench.database, WordEmbedder(dimension)))
