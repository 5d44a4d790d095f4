"""Plugins in a process of a test's making, without a platform: on the kernel's real database handle, caches and
notifications, beside parts of the platform that record what they are told.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import attrs
from ragwork_hooks.audit import AuditEvent
from ragwork_hooks.events import Event
from ragwork_hooks.plugin import Contribution, PluginContext
from ragwork_hooks.storage import DatabaseUrls, Mode, Row, Transaction
from ragwork_kernel.data import migrations
from ragwork_kernel.data.caches import KernelCaches
from ragwork_kernel.data.db import Pool
from ragwork_kernel.data.notifications import NotificationChannel

from ragwork_testkit.database import PostgresServer
from ragwork_testkit.services import RecordedMetrics, SetSecrets


def sources(*plugins: Any) -> list[migrations.Source]:
    """The migrations of the kernel and of ``plugins``, in order."""
    infos = [plugin.ragwork_info() for plugin in plugins]
    own = [migrations.Source(plugin=i.name, schema=i.schema, folder=i.migrations) for i in infos]
    return [migrations.KERNEL, *own]


@contextmanager
def shared_database(postgres: PostgresServer, *plugins: Any) -> Iterator[DatabaseUrls]:
    """A database with the tables of ``plugins``, for a fixture that outlives a test's event loop."""
    made = postgres.database(sources(*plugins))
    with asyncio.Runner() as runner:
        database = runner.run(made.__aenter__())
        yield database.urls
        runner.run(made.__aexit__(None, None, None))


def new_tenant() -> str:
    """A tenant that no other test has."""
    return f"t-{secrets.token_hex(6)}"


@attrs.define
class ManualClock:
    """Seconds that pass when a test says so, for what asks a function for the time."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += seconds


@attrs.define
class ShiftedClock:
    """Time as it passes, plus the seconds that a test adds. Implements ``ragwork_hooks.services.Clock``."""

    ahead_s: float = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead_s)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s


class CutStreams:
    """Whose streams were cut, by transactions that committed: tenant, user and credential."""

    def __init__(self) -> None:
        self.cuts: list[tuple[str, str | None, str | None]] = []

    async def cut(
        self, tx: Transaction, *, user_id: str | None = None, credential_id: str | None = None
    ) -> None:
        tx.on_commit(lambda: self.cuts.append((tx.tenant_id, user_id, credential_id)))


class CountedTransaction:
    """The kernel's transaction; ``count`` is called for every round trip."""

    def __init__(self, tx: Transaction, count: Callable[[], None]) -> None:
        self._tx = tx
        self._count = count
        self.tenant_id = tx.tenant_id
        self.mode = tx.mode
        self.on_commit = tx.on_commit

    async def fetch(self, sql: str, *args: object) -> Any:
        self._count()
        return await self._tx.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: object) -> Row | None:
        self._count()
        return await self._tx.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: object) -> Any:
        self._count()
        return await self._tx.fetchval(sql, *args)

    async def execute(self, sql: str, *args: object) -> str:
        self._count()
        return await self._tx.execute(sql, *args)

    async def executemany(self, sql: str, args: Iterable[Any]) -> None:
        self._count()
        await self._tx.executemany(sql, args)


class CountedDatabase:
    """The kernel's pool, and how it was used: ``opened`` transactions in all, ``under_way`` now, their ``statements``,
    and the ``commits`` that Postgres was asked for.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.opened = 0
        self.under_way = 0
        self.statements = 0
        self.commits = 0

    @property
    def trips(self) -> int:
        """Messages to the server. A transaction begins with its first statement, and a read has no commit."""
        return self.statements + self.commits

    def tenant(
        self, tenant_id: str, mode: Mode = "write", *, stale: bool = False
    ) -> AbstractAsyncContextManager[Transaction]:
        return self._counted(self._pool.tenant(tenant_id, mode, stale=stale))

    def anonymous(self) -> AbstractAsyncContextManager[Transaction]:
        return self._counted(self._pool.anonymous())

    @asynccontextmanager
    async def _counted(self, scope: AbstractAsyncContextManager[Transaction]) -> AsyncIterator[Transaction]:
        with self._open():
            before = self.statements
            async with scope as tx:
                yield CountedTransaction(tx, self._count)
            self.commits += tx.mode == "write" and self.statements > before

    @contextmanager
    def _open(self) -> Iterator[None]:
        self.opened += 1
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    def _count(self) -> None:
        self.statements += 1


class RecordedEvents:
    """Events of transactions that committed, each with its tenant."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Event]] = []

    async def publish(self, tx: Transaction, event: Event) -> None:
        tx.on_commit(lambda: self.seen.append((tx.tenant_id, event)))

    def of(self, tenant_id: str, kind: str) -> list[Any]:
        """The payloads of a tenant's events of one type, in order."""
        return [event.payload for owner, event in self.seen if owner == tenant_id and event.type == kind]


class RecordedAudit:
    """Types of the records of transactions that committed, each with its tenant."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    async def append(self, tx: Transaction, event: AuditEvent) -> None:
        tx.on_commit(lambda: self.seen.append((tx.tenant_id, event.type)))

    def takes(self, tenant_id: str, event: AuditEvent) -> bool:
        return True


@attrs.define(kw_only=True)
class PluginProcess:
    """One process: its services, and the plugins booted in it. A test may give capabilities of its own."""

    db: CountedDatabase
    caches: KernelCaches
    clock: ShiftedClock = attrs.field(factory=ShiftedClock)
    streams: CutStreams = attrs.field(factory=CutStreams)
    events: RecordedEvents = attrs.field(factory=RecordedEvents)
    metrics: RecordedMetrics = attrs.field(factory=RecordedMetrics)
    secrets: SetSecrets = attrs.field(factory=SetSecrets)
    profile: str = "test"
    capabilities: dict[type, object] = attrs.field(factory=dict)

    def use(self, capability: type) -> Any:
        return self.capabilities[capability]

    def use_optional(self, capability: type) -> Any:
        return self.capabilities.get(capability)

    def boot(self, plugin: Any, config: object = None) -> Contribution:
        """The contribution of ``plugin``, whose capabilities the process then has."""
        services: Any = self
        context = PluginContext(services=services, config=config or plugin.ragwork_info().config())
        contribution: Contribution = plugin.ragwork_contribute(context)
        self.capabilities |= contribution.capabilities
        return contribution


P = TypeVar("P", bound=PluginProcess)


@asynccontextmanager
async def process_of(kind: type[P], urls: DatabaseUrls, size: int = 4) -> AsyncIterator[P]:
    """A process of the class ``kind`` on ``urls``, with a pool of ``size`` connections and a notification channel of
    its own.
    """
    pool = await Pool.open(urls.app, size=size, statement_timeout_ms=5000)
    bus = NotificationChannel(urls.app)
    await bus.start()
    try:
        yield kind(db=CountedDatabase(pool), caches=KernelCaches(bus))
    finally:
        await bus.close()
        await pool.close()


def plugin_process(urls: DatabaseUrls) -> AbstractAsyncContextManager[PluginProcess]:
    """A process on ``urls``; a test boots its plugins."""
    return process_of(PluginProcess, urls)
