"""A bench over a database with this plugin's migrations, made once and emptied for each test."""

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio
from ragwork_hooks.retrieval import Embedder
from ragwork_kernel.data.db import Pool
from ragwork_kernel.work.outbox import OutboxEvents
from ragwork_pgvector import plugin
from ragwork_pgvector.index import LocalIndex
from ragwork_pgvector.retriever import LocalRetriever
from ragwork_pgvector.vectors import ALL_TABLES
from ragwork_testkit.database import FreshDatabase, PostgresServer
from ragwork_testkit.process import sources
from ragwork_testkit.retrieval import Bench, WordEmbedder

TABLES = ("documents", "readers", "chunks", "postings")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def index_database(postgres: PostgresServer) -> AsyncIterator[FreshDatabase]:
    async with postgres.database(sources(plugin)) as database:
        yield database


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
        retriever=LocalRetriever(by_name),
        embedder=embedder,
    )
    await pool.close()
    admin = await asyncpg.connect(index_database.admin)
    await admin.execute("TRUNCATE " + ", ".join([*(f"pgvector.{name}" for name in TABLES), *ALL_TABLES]))
    await admin.close()
