"""Dry run of a boot: every contribution is asked for and checked, and the providers that configuration names are
opened. Nobody is served.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import attrs
from ragwork_hooks.errors import ConfigError, ProviderError
from ragwork_hooks.operations import Advisor, HealthCheck
from ragwork_hooks.providers import Binding
from ragwork_hooks.storage import DatabaseUrls, Mode, Transaction
from ragwork_kernel.base.error_answers import database_unavailable
from ragwork_kernel.base.telemetry import Telemetry
from ragwork_kernel.base.tracing import NoTracer
from ragwork_kernel.boot import bindings, contributions
from ragwork_kernel.boot.collection import Collected, collect
from ragwork_kernel.boot.plugin_set import PluginSet
from ragwork_kernel.boot.wiring import Ground, Wiring
from ragwork_kernel.data.absent_state import AbsentState
from ragwork_kernel.data.db import Pool
from ragwork_kernel.data.notifications import NotificationChannel

#: The slowest of our providers loads its model within it.
OPEN_LIMIT_S: Final = 30.0
_POOL: Final = 2


@attrs.frozen(kw_only=True)
class BootDryRun:
    """An assembly that is put together and serves nobody. ``faults`` would stop the boot."""

    assembly: PluginSet
    wiring: Wiring
    collected: Collected
    frozen: contributions.Contributions | None
    faults: tuple[ConfigError, ...]

    @property
    def probes(self) -> tuple[HealthCheck, ...]:
        """Of the services that plugins depend on."""
        return self.frozen.probes if self.frozen else ()

    @property
    def advisors(self) -> tuple[Advisor, ...]:
        """Of plugins that have something to say about what works."""
        return self.frozen.advisors if self.frozen else ()

    async def stored(self) -> list[ConfigError]:
        """Bindings in the database that nobody offers. The schema must be current."""
        return await bindings.stored(self.frozen.bindings if self.frozen else (), self.collected.offered)

    async def named(self, *, database: bool) -> list[Binding]:
        """Every provider that configuration names and somebody offers, once, with the first place that names it."""
        found = [
            Binding(kind=each.kind, name=each.name, where=each.where)
            for each in bindings.of_settings(self.assembly)
        ]
        if database and self.frozen is not None:
            for source in self.frozen.bindings:
                found += await source.read()
        first: dict[tuple[str, str], Binding] = {}
        for binding in found:
            if (binding.kind, binding.name) in self.collected.offered:
                first.setdefault((binding.kind, binding.name), binding)
        return list(first.values())

    async def opened(self, named: Iterable[Binding]) -> list[ConfigError]:
        """Open each within ``OPEN_LIMIT_S``; why the others can't be opened."""
        answers = await asyncio.gather(*(self._opened(binding) for binding in named))
        return [answer for answer in answers if answer is not None]

    async def _opened(self, binding: Binding) -> ConfigError | None:
        provider = f"{binding.kind} provider {binding.name!r}"
        try:
            async with asyncio.timeout(OPEN_LIMIT_S):
                await self.wiring.providers.open(self.assembly.kinds[binding.kind], binding.name)
        except TimeoutError:
            what = f"names {provider}, which is not open after {OPEN_LIMIT_S:g} s"
            return ConfigError(binding.where, what, "see what it waits for, or name another provider")
        except (ConfigError, ProviderError) as error:
            said = f"{error.where} {error.message}" if isinstance(error, ConfigError) else str(error)
            fix = error.fix if isinstance(error, ConfigError) else "see the README of its plugin"
            return ConfigError(binding.where, f"names {provider}, which can't be opened: {said}", fix)
        except Exception as error:
            what = f"names {provider}, whose open fails: {type(error).__name__}: {error}"
            return ConfigError(binding.where, what, "repair its plugin, or name another provider")
        return None


@asynccontextmanager
async def dry_run(
    assembly: PluginSet, data_dir: Path, urls: DatabaseUrls | None
) -> AsyncIterator[BootDryRun]:
    """Put ``assembly`` together over the database of ``urls``; without, over none."""
    async with AsyncExitStack() as stack:
        pool = None
        if urls is not None:
            pool = await Pool.open(urls.app, size=_POOL, statement_timeout_ms=5_000, codecs=assembly.codecs())
            stack.push_async_callback(pool.close)
        yield await _put_together(stack, assembly, data_dir, urls, pool)


async def _put_together(
    stack: AsyncExitStack, assembly: PluginSet, data_dir: Path, urls: DatabaseUrls | None, pool: Pool | None
) -> BootDryRun:
    telemetry = Telemetry(assembly.kernel.app_name)
    ground = Ground(
        db=_NoDatabase() if pool is None else pool,
        state=AbsentState(),
        notifications=NotificationChannel("" if urls is None else urls.app),
        telemetry=telemetry,
        tracer=NoTracer(),
        # What is unset is told elsewhere; here something has to stand in its place.
        keys={name: os.urandom(32) for name in assembly.secrets()},
    )
    wiring = Wiring(assembly, ground, data_dir)
    stack.push_async_callback(wiring.egress.close)
    stack.push_async_callback(wiring.providers.close)
    collected = collect(assembly, wiring.parts)
    faults = [*collected.faults]
    faults += bindings.inactive(assembly, collected.offered, collected.inactive)
    frozen: contributions.Contributions | None = None
    try:
        frozen = contributions.freeze(collected.contributions, assembly.kernel.gate_order)
        wiring.freeze(frozen, collected, frozen.probes)
    except ConfigError as error:
        faults.append(error)
    return BootDryRun(
        assembly=assembly, wiring=wiring, collected=collected, frozen=frozen, faults=tuple(faults)
    )


class _NoDatabase:
    """Implements ``ragwork_hooks.storage.Database`` where none can be reached."""

    def tenant(
        self, tenant_id: str, mode: Mode = "write", *, stale: bool = False
    ) -> AbstractAsyncContextManager[Transaction]:
        raise database_unavailable()

    def anonymous(self) -> AbstractAsyncContextManager[Transaction]:
        raise database_unavailable()
