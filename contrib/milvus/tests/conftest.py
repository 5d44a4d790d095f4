"""A bench with everything real: Postgres, the local index, the outbox and its relay, and Milvus Lite."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import asyncpg
import attrs
import pytest
import pytest_asyncio
from ragwork_hooks.retrieval import Embedder, PreparedQuery, Query, Retriever
from ragwork_hooks.services import Clock
from ragwork_kernel.base.clock import SystemClock
from ragwork_kernel.base.telemetry import Telemetry
from ragwork_kernel.data.db import Pool
from ragwork_kernel.work.outbox import OutboxEvents, Relay
from ragwork_milvus.config import MilvusConfig
from ragwork_milvus.engine import Engine
from ragwork_milvus.mirror import Mirror
from ragwork_milvus.retriever import MilvusRetriever
from ragwork_pgvector import plugin
from ragwork_pgvector.index import LocalIndex
from ragwork_pgvector.passage_source import LocalPassageSource
from ragwork_pgvector.vectors import ALL_TABLES
from ragwork_testkit.database import FreshDatabase, PostgresServer
from ragwork_testkit.process import sources
from ragwork_testkit.retrieval import Bench, WordEmbedder

TABLES = ("documents", "readers", "chunks", "postings")


@attrs.frozen(kw_only=True)
class Stack:
    """The parts of one test. ``settled`` waits until the relay has delivered every event."""

    bench: Bench
    engine: Engine
    mirror: Mirror
    source: LocalPassageSource
    pool: Pool
    admin: asyncpg.Connection
    clock: Clock

    async def settled(self) -> None:
        waiting = "SELECT count(*) FROM ragwork.outbox WHERE dead_at IS NULL"
        while await self.admin.fetchval(waiting):  # noqa: ASYNC110 -- the relay tells nobody
            await asyncio.sleep(0.005)

    async def dead(self) -> Sequence[str]:
        """The reasons of events that were given up."""
        rows = await self.admin.fetch("SELECT reason FROM ragwork.outbox WHERE dead_at IS NOT NULL")
        return [row["reason"] for row in rows]


@attrs.frozen
class Settling:
    """The retriever, asked only once the mirror has caught up."""

    inner: Retriever
    stack: list[Stack]

    @property
    def transactional(self) -> bool:
        return self.inner.transactional

    async def prepare(self, tenant_id: str, query: Query) -> PreparedQuery:
        await self.stack[0].settled()
        return await self.inner.prepare(tenant_id, query)


@pytest.fixture(scope="session")
def milvus_lite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session's Milvus Lite file: its server lives as long as the process."""
    return tmp_path_factory.mktemp("milvus") / "lite.db"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def index_database(postgres: PostgresServer) -> AsyncIterator[FreshDatabase]:
    async with postgres.database(sources(plugin)) as database:
        yield database


@pytest_asyncio.fixture
async def stack(index_database: FreshDatabase, milvus_lite: Path) -> AsyncIterator[Stack]:
    pool = await Pool.open(
        index_database.app, size=4, statement_timeout_ms=30_000, codecs=plugin.ragwork_info().codecs
    )
    admin = await asyncpg.connect(index_database.admin)
    embedder, source, clock = WordEmbedder(), LocalPassageSource(), SystemClock()
    engine = Engine(MilvusConfig(uri=str(milvus_lite), timeout_s=30.0))
    mirror = Mirror(pool, source, engine)

    async def by_name(name: str) -> Embedder:
        return embedder

    retriever = MilvusRetriever(embedder=by_name, engine=engine, source=source, clock=clock)
    made: list[Stack] = []
    bench = Bench(
        database=pool,
        index=LocalIndex(OutboxEvents([mirror])),
        retriever=Settling(retriever, made),
        embedder=embedder,
    )
    made.append(
        Stack(bench=bench, engine=engine, mirror=mirror, source=source, pool=pool, admin=admin, clock=clock)
    )
    async with Relay(index_database.dispatcher, [mirror], Telemetry("test")):
        yield made[0]
        await made[0].settled()
    await engine._delete("ordinal >= 0")
    await engine.aclose()
    await pool.close()
    tables = [*(f"pgvector.{name}" for name in TABLES), *ALL_TABLES, "ragwork.outbox"]
    await admin.execute("TRUNCATE " + ", ".join(tables))
    await admin.close()


@pytest.fixture
def bench(stack: Stack) -> Bench:
    return stack.bench
