"""The log over the kernel's real pool and schema: as many processes as a test wants, on one database."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import attrs
import pytest
from ragwork_audit import plugin
from ragwork_audit.checking.verification import summary
from ragwork_audit.config import AuditConfig
from ragwork_audit.service import AuditService
from ragwork_hooks.audit import AuditEvent, Origin
from ragwork_hooks.redaction import Redactor
from ragwork_kernel.data.db import Pool
from ragwork_testkit.database import FreshDatabase, PostgresServer
from ragwork_testkit.process import CountedDatabase, ShiftedClock, sources
from ragwork_testkit.services import RecordedMetrics

SEED = b"audit-test-signing-key-of-32-byte"[:32]


@attrs.define(kw_only=True)
class FakeServices:
    """The least of a platform around the log."""

    db: CountedDatabase
    data_dir: Path
    metrics: RecordedMetrics = attrs.field(factory=RecordedMetrics)
    clock: ShiftedClock = attrs.field(factory=ShiftedClock)
    redactor: Redactor = attrs.field(factory=Redactor)


@attrs.define(kw_only=True)
class Process:
    """One process: its log, and what tests do with it."""

    services: FakeServices
    service: AuditService
    admin: str

    async def write(self, tenant: str, count: int = 1, **fields: Any) -> None:
        for _ in range(count):
            async with self.services.db.tenant(tenant) as tx:
                await self.service.log.append(tx, event(**fields))

    @staticmethod
    def event(**fields: Any) -> AuditEvent:
        return event(**fields)

    async def seal(self) -> None:
        await self.service.sealer.seal_marked()

    async def verify(self) -> dict[str, Any]:
        """The verdict over all tenants."""
        return dict(summary(await self.service.verify(await self.service.tenants())))

    async def superuser(self, sql: str, *args: object) -> str:
        """What somebody with every right on the database does."""
        connection = await asyncpg.connect(self.admin)
        try:
            return await connection.execute(sql, *args)
        finally:
            await connection.close()

    async def look(self, sql: str, *args: object) -> list[Any]:
        connection = await asyncpg.connect(self.admin)
        try:
            return list(await connection.fetch(sql, *args))
        finally:
            await connection.close()


def event(**fields: Any) -> AuditEvent:
    """A record as a mutation leaves it."""
    given: dict[str, Any] = {
        "type": "documents.deleted",
        "outcome": "success",
        "actor_type": "api_key",
        "actor_id": "k1",
        "actor_role": "admin",
        "resource_type": "document",
        "resource_id": secrets.token_hex(4),
        "origin": Origin(request_id="r-1", echo_id="r-1", peer="10.0.0.1", user_agent="test/1"),
    }
    return AuditEvent(**(given | fields))


Start = Callable[..., AbstractAsyncContextManager[Process]]


@pytest.fixture
async def log_database(postgres: PostgresServer) -> AsyncIterator[FreshDatabase]:
    """A fresh database with the log's schema."""
    async with postgres.database(sources(plugin)) as fresh:
        yield fresh


@pytest.fixture
def start(log_database: FreshDatabase, tmp_path: Path) -> Start:
    """Starts a process; ``folder`` is its data directory, ``seed`` its signing key."""

    @asynccontextmanager
    async def starting(
        folder: Path = tmp_path, seed: bytes = SEED, size: int = 6, **config: Any
    ) -> AsyncIterator[Process]:
        pool = await Pool.open(log_database.app, size=size, statement_timeout_ms=20_000)
        try:
            services = FakeServices(db=CountedDatabase(pool), data_dir=folder)
            service = AuditService(services, AuditConfig(**config), seed)
            async with service.lifespan():
                yield Process(services=services, service=service, admin=log_database.admin)
        finally:
            await pool.close()

    return starting


@pytest.fixture
async def here(start: Start) -> AsyncIterator[Process]:
    async with start() as process:
        yield process
