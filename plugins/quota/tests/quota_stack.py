"""The quota plugin in processes of its own making, on the kernel's real database handle."""

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg
import attrs
from ragwork_hooks.admission import Admission, Ask
from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.authz import Deny
from ragwork_hooks.events import Event
from ragwork_hooks.plugin import PluginContext
from ragwork_hooks.storage import DatabaseUrls, Transaction
from ragwork_kernel import migrations
from ragwork_kernel.db import Pool
from ragwork_quota import plugin
from ragwork_quota.config import QuotaConfig
from ragwork_quota.gate import QuotaGate
from ragwork_quota.leases import Leases


def sources() -> list[migrations.Source]:
    info = plugin.ragwork_info()
    assert info.schema is not None
    assert info.migrations is not None
    own = migrations.Source(plugin=info.name, schema=info.schema, folder=info.migrations)
    return [migrations.KERNEL, own]


class RecordedEvents:
    """What was published by transactions that committed."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Event]] = []

    async def publish(self, tx: Transaction, event: Event) -> None:
        tx.on_commit(lambda: self.seen.append((tx.tenant_id, event)))

    def of(self, tenant: str, kind: str) -> list[Any]:
        return [event.payload for owner, event in self.seen if owner == tenant and event.type == kind]


class RecordedAudit:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    async def append(self, tx: Transaction, event: Any) -> None:
        tx.on_commit(lambda: self.seen.append((tx.tenant_id, event.type)))


class NoMetrics:
    def count(self, name: str, help: str, **labels: str) -> None:
        pass


class TurnableClock:
    ahead_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s


class KnownTenants:
    def __init__(self) -> None:
        self.ids: list[str] = []

    async def tenants(self) -> list[str]:
        return self.ids


class CountedDatabase:
    """The pool, counting transactions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.opened = 0

    def tenant(self, tenant_id: str, mode: Any = "write") -> Any:
        self.opened += 1
        return self._pool.tenant(tenant_id, mode)


@attrs.define(kw_only=True)
class Process:
    """One process' services, and the plugin booted in it."""

    db: CountedDatabase
    plans: object = None
    events: RecordedEvents = attrs.field(factory=RecordedEvents)
    audit: RecordedAudit = attrs.field(factory=RecordedAudit)
    metrics: NoMetrics = attrs.field(factory=NoMetrics)
    clock: TurnableClock = attrs.field(factory=TurnableClock)
    directory: KnownTenants = attrs.field(factory=KnownTenants)
    contribution: Any = None

    def use(self, _capability: type) -> Any:
        return self.directory

    def use_optional(self, capability: type) -> Any:
        return self.audit if capability.__name__ == "AuditLog" else self.plans

    @property
    def gate(self) -> QuotaGate:
        found: QuotaGate = self.contribution.admits[-1]
        return found

    @property
    def leases(self) -> Leases:
        return self.gate._leases

    def capability(self, name: str) -> Any:
        return next(v for k, v in self.contribution.capabilities.items() if k.__name__ == name)

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
                verdict = await self.gate.admit(_ask(tenant, rate_class, asked.open, free))
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
        if verdict.hold:
            await verdict.hold.settle(started)
        return verdict

    async def limit(self, tenant: str, **limits: object) -> None:
        """Set limits as the admin API does, effective in this process."""
        async with self.db.tenant(tenant) as tx:
            store = self.gate._meter._limits
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


def _ask(tenant: str, rate_class: str, opened: Any, free: bool) -> Ask:
    principal = Principal(tenant_id=tenant, user_id="u", credential_id="k", kind="api_key", role=Role.ADMIN)
    return Ask(
        principal=principal,
        peer="127.0.0.1",
        route="r",
        rate_class=rate_class,
        switch=None,
        feature=None,
        request_id="id",
        open=opened,
        free=free,
    )


@asynccontextmanager
async def process(urls: DatabaseUrls, size: int = 4, plans: object = None) -> AsyncIterator[Process]:
    pool = await Pool.open(urls.app, size=size, statement_timeout_ms=5000)
    try:
        booted = Process(db=CountedDatabase(pool), plans=plans)
        context: Any = PluginContext(services=booted, config=QuotaConfig())  # type: ignore[arg-type]
        booted.contribution = plugin.ragwork_contribute(context)
        async with booted.contribution.lifespan():
            yield booted
    finally:
        await pool.close()


async def set_time(urls: DatabaseUrls, at: datetime | None) -> None:
    """Stop the database's clock of quotas at ``at``; ``None`` lets it run."""
    shown = "pg_catalog.now()" if at is None else f"timestamptz '{at.isoformat()}'"
    connection = await asyncpg.connect(urls.owner)
    try:
        await connection.execute(
            f"CREATE OR REPLACE FUNCTION quota.now() RETURNS timestamptz LANGUAGE sql STABLE RETURN {shown}"
        )
    finally:
        await connection.close()


def new_tenant() -> str:
    return f"t-{secrets.token_hex(6)}"
