"""Boot: database, migrations, services, contributions, freeze. The order of this file is the order of the boot."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import attrs
from ragwork_hooks.audit import AuditLog
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.http import AnyRoute
from ragwork_hooks.idempotency import IdempotencyStore
from ragwork_hooks.operations import HealthCheck
from ragwork_hooks.storage import Database, DatabaseUrls

from ragwork_kernel.base import secrets
from ragwork_kernel.base.config import raise_all
from ragwork_kernel.base.resilient_loops import cancelled
from ragwork_kernel.base.telemetry import Telemetry
from ragwork_kernel.base.tracing import make_tracer
from ragwork_kernel.boot import bindings, contributions, infrastructure
from ragwork_kernel.boot.collection import collect
from ragwork_kernel.boot.health import DATABASE, Health
from ragwork_kernel.boot.leaving import AtWorst
from ragwork_kernel.boot.plugin_set import PluginSet
from ragwork_kernel.boot.services import KernelServices, PluginServices
from ragwork_kernel.boot.system_routes import KernelRoutes
from ragwork_kernel.boot.wiring import Ground, Wiring
from ragwork_kernel.data import migrations, roles
from ragwork_kernel.data.db import Pool
from ragwork_kernel.data.notifications import NotificationChannel
from ragwork_kernel.data.read_replica import ReplicaAwareDatabase
from ragwork_kernel.request.admission import AdmissionGates
from ragwork_kernel.request.authentication import Authenticators
from ragwork_kernel.request.idempotency import IdempotencyKeys
from ragwork_kernel.request.pipeline import Pipeline
from ragwork_kernel.request.request_audit import RequestAudit
from ragwork_kernel.request.sse import StreamRegistry
from ragwork_kernel.work.outbox import Relay
from ragwork_kernel.work.worker import Worker

log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Platform:
    """A booted kernel: the frozen plan and the parts that serve it."""

    assembly: PluginSet
    urls: DatabaseUrls
    plan: contributions.Contributions
    parts: KernelServices
    pipeline: Pipeline
    streams: StreamRegistry
    health: Health
    telemetry: Telemetry
    probes: tuple[HealthCheck, ...]
    inactive: Mapping[str, str]
    off: Mapping[str, str]
    facades: Mapping[str, PluginServices]
    configs: Mapping[str, Any]
    log: AuditLog | None
    capability: Callable[[type[Any]], Any]

    @property
    def routes(self) -> tuple[AnyRoute, ...]:
        """Every route that is served, the kernel's own among them."""
        return self.plan.routes

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run the job worker and the outbox relay in this process for the duration."""
        dispatcher = self.urls.dispatcher
        if dispatcher is None:
            raise ConfigError(
                "DATABASE_DISPATCHER_URL",
                "is unset, so this process can't claim jobs",
                "give the dispatcher role's DSN, or run `ragwork worker` where it is known",
            )
        async with AsyncExitStack() as stack:
            # The relay leaves last: what jobs publish while they drain still goes out.
            await stack.enter_async_context(
                Relay(dispatcher, self.plan.sinks, self.telemetry, redactor=self.parts.redactor)
            )
            await stack.enter_async_context(
                Worker(
                    dispatcher,
                    self.plan.jobs,
                    self.plan.schedules,
                    self.telemetry,
                    redactor=self.parts.redactor,
                )
            )
            yield


@asynccontextmanager
async def boot(
    assembly: PluginSet, data_dir: Path, at_worst: AtWorst | None = None
) -> AsyncIterator[Platform]:
    """A platform ready to serve; everything it opened is closed on leaving, whatever happens.

    ``at_worst`` is told what must be stopped, too, when that takes too long.
    """
    await refuse_faults(assembly)
    kernel = assembly.kernel
    async with AsyncExitStack() as stack:
        urls = await stack.enter_async_context(infrastructure.database(kernel, data_dir, at_worst=at_worst))
        await _bring_schema(assembly, urls)
        keys = await secrets.resolve(assembly.secrets(), assembly.layers, urls.app, kernel.production)
        telemetry = Telemetry(kernel.app_name)
        db = await Pool.open(
            urls.app,
            size=kernel.pool_size + kernel.pool_overflow,
            statement_timeout_ms=kernel.statement_timeout_ms,
            shares=telemetry.shares,
            codecs=assembly.codecs(),
        )
        stack.push_async_callback(db.close)
        tracer = make_tracer(kernel)
        # Exporting what is left can take seconds: off the loop.
        stack.push_async_callback(asyncio.to_thread, tracer.close)
        traced_db = tracer.database(await _with_replica(stack, assembly, db, telemetry))
        state, state_probes = await stack.enter_async_context(infrastructure.shared_state(kernel))
        notifications = NotificationChannel(urls.app)
        await notifications.start()
        stack.push_async_callback(notifications.close)
        ground = Ground(
            db=traced_db,
            state=state,
            notifications=notifications,
            telemetry=telemetry,
            tracer=tracer,
            keys=keys,
        )
        wiring = Wiring(assembly, ground, data_dir)
        stack.push_async_callback(wiring.egress.close)
        stack.push_async_callback(wiring.providers.close)
        collected = collect(assembly, wiring.parts)
        raise_all([*collected.faults, *bindings.inactive(assembly, collected.offered, collected.inactive)])
        health = Health(telemetry, collected.inactive, collected.off)
        own = KernelRoutes(
            health=health,
            telemetry=telemetry,
            metrics_token=kernel.metrics_token,
            clock=wiring.parts.clock,
        )
        frozen = contributions.freeze(
            {"kernel": own.contribution(), **collected.contributions}, kernel.gate_order
        )
        database = HealthCheck(component=DATABASE, check=partial(_database_answers, db, telemetry))
        probes = (database, *state_probes, *frozen.probes)
        wiring.freeze(frozen, collected, probes)
        raise_all(await bindings.stored(frozen.bindings, collected.offered))
        platform = Platform(
            assembly=assembly,
            urls=urls,
            plan=frozen,
            parts=wiring.parts,
            pipeline=Pipeline(
                config=kernel,
                db=traced_db,
                authorization=wiring.authorization,
                authenticators=Authenticators(
                    ordered=frozen.authenticators, of_prefix=frozen.authenticators_of
                ),
                credential_formats=frozen.credential_formats,
                admission=AdmissionGates(traced_db, frozen.admission_gates),
                idempotency_keys=IdempotencyKeys(collected.capability(IdempotencyStore)),
                request_audit=RequestAudit(traced_db, collected.capability(AuditLog)),
                observers=frozen.observers,
                streams=wiring.streams,
                telemetry=telemetry,
                tracer=tracer,
            ),
            streams=wiring.streams,
            health=health,
            telemetry=telemetry,
            probes=probes,
            inactive=collected.inactive,
            off=collected.off,
            facades=collected.facades,
            configs=collected.configs,
            log=collected.capability(AuditLog),
            capability=collected.capability,
        )
        for name, lifespan in frozen.lifespans:
            await _enter(stack, name, lifespan)
        yield platform


async def refuse_faults(assembly: PluginSet) -> None:
    """Raise ``ConfigError`` with all that is wrong before anything is opened."""
    assembly.require_whole()
    # A provider's module may take its time to import.
    raise_all([*assembly.gaps(), *await asyncio.to_thread(bindings.faults, assembly)])


async def _with_replica(
    stack: AsyncExitStack, assembly: PluginSet, primary: Pool, telemetry: Telemetry
) -> Database:
    """``primary``, beside a replica when one is configured; a replica that is away does not stop the boot."""
    kernel = assembly.kernel
    if kernel.database_read_url is None:
        return primary
    dsn = roles.normalise(kernel.database_read_url)
    try:
        await roles.check_app(dsn)
        replica = await Pool.open(
            dsn,
            size=kernel.pool_size,
            statement_timeout_ms=kernel.statement_timeout_ms,
            acquire_timeout_s=1.0,
            shares=telemetry.shares,
            name="database.replica",
            codecs=assembly.codecs(),
            at_once=True,
        )
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError) as error:
        log.warning(
            "the read replica does not answer (%s); every read goes to the primary until a restart", error
        )
        return primary
    stack.push_async_callback(replica.close)
    return ReplicaAwareDatabase(primary, replica, telemetry)


async def _database_answers(db: Pool, telemetry: Telemetry) -> None:
    telemetry.pool(db.connections())
    await db.ping()


async def _bring_schema(assembly: PluginSet, urls: DatabaseUrls) -> None:
    """Outside production a server that knows the owner migrates by itself; else it verifies."""
    sources = assembly.sources()
    if urls.owner is not None and not assembly.kernel.production:
        ran = await migrations.migrate(urls.owner, sources)
        if ran:
            plugins = dict.fromkeys(migration.plugin for migration in ran)
            log.info("applied %d migrations of %s", len(ran), ", ".join(plugins))
    else:
        await migrations.verify(urls.app, sources)


async def _enter(stack: AsyncExitStack, name: str, lifespan: contributions.Lifespan) -> None:
    try:
        await stack.enter_async_context(lifespan())
    except Exception as error:
        raise ConfigError(f"plugin {name!r}", f"failed to start: {error}", "see its README") from error


async def repeat(name: str, every_s: float, run: Callable[[], Any]) -> None:
    """A ticker: run, wait, again; a failure is logged and does not end it."""
    while not cancelled():
        await asyncio.sleep(every_s)
        try:
            await run()
        except Exception:
            log.exception("ticker %s failed", name)


@asynccontextmanager
async def background(platform: Platform) -> AsyncIterator[None]:
    """Probes, tickers and warm-ups of a serving process."""
    for name, reason in platform.inactive.items():
        log.warning("plugin %s is inactive: %s", name, reason)
    await platform.health.probe(platform.probes)
    jobs = [platform.health.watch(platform.probes)]
    jobs += [repeat(t.name, t.every_s, t.run) for t in platform.plan.tickers]
    jobs += [_warm(platform, name, warm) for name, warm in platform.plan.warms]
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _warm(platform: Platform, name: str, warm: Callable[[], Any]) -> None:
    platform.health.warming.add(name)
    try:
        await warm()
    except Exception:
        log.exception("plugin %s failed to warm up; its first use will try again", name)
    finally:
        platform.health.warming.discard(name)
