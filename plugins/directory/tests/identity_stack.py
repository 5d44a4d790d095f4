"""The identity plugins in one process, on the kernel's real database handle, caches and bus."""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import attrs
from ragwork_hooks.plugin import PluginContext
from ragwork_hooks.storage import DatabaseUrls, Transaction
from ragwork_kernel import migrations
from ragwork_kernel.bus import Bus
from ragwork_kernel.caches import KernelCaches
from ragwork_kernel.db import Pool

PEPPER = b"p" * 32


def sources(*plugins: Any) -> list[migrations.Source]:
    """The migrations of the kernel and of the plugins, in order."""
    infos = [plugin.ragwork_info() for plugin in plugins]
    own = [migrations.Source(plugin=i.name, schema=i.schema, folder=i.migrations) for i in infos]
    return [migrations.KERNEL, *own]


class CutStreams:
    """Records what would be cut; nothing before the commit, as the real one."""

    def __init__(self) -> None:
        self.cuts: list[tuple[str, str | None, str | None]] = []

    async def cut(
        self, tx: Transaction, *, user_id: str | None = None, credential_id: str | None = None
    ) -> None:
        tx.on_commit(lambda: self.cuts.append((tx.tenant_id, user_id, credential_id)))


class TurnableClock:
    """Real time plus what a test adds."""

    ahead_s = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s


class CountedDatabase:
    """The pool, counting transactions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.opened = 0

    def tenant(self, tenant_id: str, mode: Any = "write") -> Any:
        self.opened += 1
        return self._pool.tenant(tenant_id, mode)

    def anonymous(self) -> Any:
        self.opened += 1
        return self._pool.anonymous()


class FixedSecrets:
    def key(self, _name: str) -> bytes:
        return PEPPER


@attrs.define(kw_only=True)
class Process:
    """One process: its services, and the plugins booted in it."""

    db: CountedDatabase
    bus: Bus
    caches: KernelCaches
    streams: CutStreams = attrs.field(factory=CutStreams)
    clock: TurnableClock = attrs.field(factory=TurnableClock)
    secrets: FixedSecrets = attrs.field(factory=FixedSecrets)
    profile: str = "test"
    capabilities: dict[type, object] = attrs.field(factory=dict)

    def use(self, capability: type) -> Any:
        return self.capabilities[capability]

    def use_optional(self, capability: type) -> Any:
        return self.capabilities.get(capability)

    def boot(self, plugin: Any, config: object = None) -> Any:
        config = config or plugin.ragwork_info().config()
        contribution = plugin.ragwork_contribute(PluginContext(services=self, config=config))
        self.capabilities |= contribution.capabilities
        return contribution


@asynccontextmanager
async def process(urls: DatabaseUrls) -> AsyncIterator[Process]:
    """A process on ``urls`` with its own pool and its own notification channel."""
    pool = await Pool.open(urls.app, size=4, statement_timeout_ms=5000)
    bus = Bus(urls.app)
    caches = KernelCaches(bus)
    await bus.start()
    try:
        yield Process(db=CountedDatabase(pool), bus=bus, caches=caches)
    finally:
        await bus.close()
        await pool.close()


def new_tenant() -> str:
    return f"t-{secrets.token_hex(6)}"
