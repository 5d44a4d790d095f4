"""The quota plugin in processes of its own, and its requests as the kernel makes them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg
import attrs
import pytest
from ragwork_hooks.admission import Admission
from ragwork_hooks.audit import AuditLog
from ragwork_hooks.auth import Directory, Role
from ragwork_hooks.authz import Deny
from ragwork_hooks.plans import Plans
from ragwork_hooks.plugin import Contribution
from ragwork_hooks.storage import DatabaseUrls, Transaction
from ragwork_quota import plugin
from ragwork_quota.gate import QuotaGate
from ragwork_quota.leases import Leases
from ragwork_testkit import admission
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.process import (
    CountedDatabase,
    PluginProcess,
    RecordedAudit,
    process_of,
    shared_database,
)


class KnownTenants:
    """As much of a directory as the plugin asks for."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def tenants(self) -> list[str]:
        return self.ids


@attrs.define(kw_only=True)
class QuotaProcess(PluginProcess):
    """A process with the plugin booted in it."""

    audit: RecordedAudit = attrs.field(factory=RecordedAudit)
    directory: KnownTenants = attrs.field(factory=KnownTenants)
    contribution: Contribution = attrs.field(init=False)

    @property
    def gate(self) -> QuotaGate:
        found: QuotaGate = self.contribution.admission_gates[-1]
        return found

    @property
    def leases(self) -> Leases:
        return self.gate._leases

    def capability(self, name: str) -> Any:
        return next(v for k, v in self.capabilities.items() if k.__name__ == name)

    async def request(
        self,
        tenant: str,
        rate_class: str = "mutation",
        work: Callable[[], Awaitable[None]] | None = None,
        *,
        free: bool = False,
    ) -> Admission | Deny:
        """One request as the kernel runs it: gate and work in one transaction, or the work after it."""
        mutation = rate_class == "mutation"
        verdict: Any = None
        try:
            async with _Asked(self.db, tenant) as asked:
                caller = admission.caller(tenant, role=Role.ADMIN)
                request = admission.asked(caller, rate_class=rate_class, open=asked.open, free=free)
                verdict = await self.gate.admit(request)
                if isinstance(verdict, Deny):
                    raise _Refused
                if mutation and work:
                    await work()
        except _Refused:
            async with self.db.tenant(tenant) as tx:
                assert verdict.record is not None
                await verdict.record(tx)
            return verdict
        started = True
        try:
            if not mutation and work:
                await work()
        except RuntimeError:
            started = False
        if verdict.reservation:
            await verdict.reservation.settle(started)
        return verdict

    async def limit(self, tenant: str, **limits: object) -> None:
        """Set limits as the admin API does, effective in this process."""
        async with self.db.tenant(tenant) as tx:
            store = self.gate._charger._limits
            await store.change(tx, await store.of_plan(tenant), limits)
            tx.on_commit(lambda: self.leases.end_at(tenant))

    async def used(self, tenant: str, period: str = "day") -> int:
        """What the database has, leases included."""
        async with self.db.tenant(tenant, "read") as tx:
            found = await tx.fetchval(
                "SELECT used FROM quota.balances WHERE account = 'requests' AND period = $1"
                " AND starts_on = quota.start_of($1, quota.today())",
                period,
            )
        return int(found or 0)

    async def admitted(self, tenant: str) -> int:
        async with self.db.tenant(tenant, "read") as tx:
            return int(await tx.fetchval("SELECT COALESCE(sum(admitted), 0) FROM quota.requests"))


class _Refused(Exception):
    pass


class _Asked:
    """The transaction that a gate may open."""

    def __init__(self, db: CountedDatabase, tenant: str) -> None:
        self._db, self._tenant = db, tenant
        self._scope: Any = None
        self._tx: Any = None

    async def __aenter__(self) -> "_Asked":
        return self

    async def open(self) -> Transaction:
        if self._tx is None:
            self._scope = self._db.tenant(self._tenant)
            self._tx = await self._scope.__aenter__()
        tx: Transaction = self._tx
        return tx

    async def __aexit__(self, *failure: Any) -> None:
        if self._scope is not None:
            await self._scope.__aexit__(*failure)


@asynccontextmanager
async def starting(urls: DatabaseUrls, size: int = 4, plans: object = None) -> AsyncIterator[QuotaProcess]:
    async with process_of(QuotaProcess, urls, size) as process:
        process.capabilities = {AuditLog: process.audit, Directory: process.directory}
        if plans is not None:
            process.capabilities[Plans] = plans
        process.contribution = process.boot(plugin)
        assert process.contribution.lifespan is not None
        async with process.contribution.lifespan():
            yield process


@pytest.fixture(scope="session")
def urls(postgres: PostgresServer) -> Iterator[DatabaseUrls]:
    """One database for all tests of the plugin: each has tenants of its own."""
    with shared_database(postgres, plugin) as urls:
        yield urls


@pytest.fixture
def start() -> Callable[..., AbstractAsyncContextManager[QuotaProcess]]:
    """Starts a process on a database: ``async with start(urls, size=2, plans=…) as process``."""
    return starting


@pytest.fixture
def set_time() -> Callable[[DatabaseUrls, datetime], Awaitable[None]]:
    """Stops the clock of quotas of a database."""

    async def stop(urls: DatabaseUrls, at: datetime) -> None:
        connection = await asyncpg.connect(urls.owner)
        try:
            await connection.execute(
                "CREATE OR REPLACE FUNCTION quota.now() RETURNS timestamptz LANGUAGE sql STABLE"
                f" RETURN timestamptz '{at.isoformat()}'"
            )
        finally:
            await connection.close()

    return stop
