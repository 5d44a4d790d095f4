"""Boot: database, migrations, services, contributions, freeze. The order of this file is the order of the boot."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

import asyncpg
import attrs
from ragwork_hooks.audit import AuditLog
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.events import Sink
from ragwork_hooks.http import AnyRoute
from ragwork_hooks.plugin import Contribution, PluginContext, Probe, ProviderContext
from ragwork_hooks.replay import Replay
from ragwork_hooks.storage import Blob, Database, DatabaseUrls

from ragwork_kernel import clock, discovery, migrations, phase0, plan, roles, secrets
from ragwork_kernel.admission import AdmissionPlan
from ragwork_kernel.assembly import Assembly, Loaded
from ragwork_kernel.authorize import AuthorizationPlan
from ragwork_kernel.blobs import DirectoryBlobs, PostgresBlobs
from ragwork_kernel.bus import Bus
from ragwork_kernel.caches import KernelCaches
from ragwork_kernel.config import KernelConfig
from ragwork_kernel.db import Pool
from ragwork_kernel.egress import EgressClient
from ragwork_kernel.health import DATABASE, Health
from ragwork_kernel.job_worker import Worker
from ragwork_kernel.jobs import PostgresJobs
from ragwork_kernel.kernel_routes import KernelRoutes
from ragwork_kernel.outbox import OutboxEvents, Relay
from ragwork_kernel.pipeline import Pipeline
from ragwork_kernel.providers import KINDS, Offer, ProviderTable
from ragwork_kernel.records import Records
from ragwork_kernel.replays import Replays
from ragwork_kernel.replica import Replicated
from ragwork_kernel.services import Parts, PluginServices
from ragwork_kernel.sse import StreamRegistry
from ragwork_kernel.telemetry import Telemetry
from ragwork_kernel.tracing import make_tracer

T = TypeVar("T")
log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Platform:
    """A booted kernel: the frozen plan and the parts that serve it."""

    assembly: Assembly
    urls: DatabaseUrls
    plan: plan.Plan
    routes: tuple[AnyRoute, ...]
    parts: Parts
    pipeline: Pipeline
    streams: StreamRegistry
    health: Health
    kernel_routes: KernelRoutes
    telemetry: Telemetry
    probes: tuple[Probe, ...]
    inactive: Mapping[str, str]
    facades: Mapping[str, PluginServices]
    configs: Mapping[str, Any]

    @asynccontextmanager
    async def working_here(self) -> AsyncIterator[None]:
        """For commands that wait for jobs: work the queue here when no worker of its own is expected."""
        if self.assembly.kernel.works_in_serve and self.urls.dispatcher is not None:
            async with self.working():
                yield
        else:
            yield

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
            await stack.enter_async_context(Relay(dispatcher, self.plan.sinks, self.telemetry))
            await stack.enter_async_context(
                Worker(dispatcher, self.plan.jobs, self.plan.schedules, self.telemetry)
            )
            yield


@asynccontextmanager
async def boot(assembly: Assembly, data_dir: Path) -> AsyncIterator[Platform]:
    """A platform ready to serve; everything it opened is closed on leaving, whatever happens."""
    assembly.require_whole()
    _refuse_production_gaps(assembly)
    kernel = assembly.kernel
    async with AsyncExitStack() as stack:
        urls = await stack.enter_async_context(phase0.database(kernel, data_dir))
        await _bring_schema(assembly, urls)
        names = [name for loaded in assembly.plugins for name in loaded.info.secrets]
        keys = await secrets.resolve(names, assembly.layers, urls.app, kernel.production)
        db = await Pool.open(
            urls.app,
            size=kernel.pool_size + kernel.pool_overflow,
            statement_timeout_ms=kernel.statement_timeout_ms,
        )
        stack.push_async_callback(db.close)
        telemetry = Telemetry(kernel.app_name)
        tracer = make_tracer(kernel)
        # Exporting what is left can take seconds: off the loop.
        stack.push_async_callback(asyncio.to_thread, tracer.close)
        traced_db = tracer.database(await _with_replica(stack, kernel, db, telemetry))
        state, state_probes = await stack.enter_async_context(phase0.shared_state(kernel))
        bus = Bus(urls.app)
        await bus.start()
        stack.push_async_callback(bus.close)
        egress = EgressClient(kernel.egress_allow_private)
        stack.push_async_callback(egress.close)
        providers = ProviderTable()
        stack.push_async_callback(providers.close)
        streams = StreamRegistry(bus)
        authorization, registry = AuthorizationPlan(), plan.LateRegistry()
        sinks: list[Sink] = []
        job_kinds: set[str] = set()
        parts = Parts(
            db=traced_db,
            state=state,
            blob=_blobs(kernel),
            caches=KernelCaches(bus),
            jobs=PostgresJobs(job_kinds),
            events=OutboxEvents(sinks),
            egress=egress,
            providers=providers,
            streams=streams,
            secrets=secrets.KernelSecrets(assembly.layers, keys),
            clock=clock.SystemClock(),
            metrics=telemetry,
            tracer=tracer,
            shares=telemetry.shares,
            authorization=authorization,
            registry=registry,
            profile=kernel.profile,
            embedded=kernel.database_url is None,
            data_dir=data_dir,
        )
        collected = _collect(assembly, parts)
        frozen = plan.freeze(collected.contributions, kernel.gate_order)
        database = Probe(component=DATABASE, check=partial(_database_answers, db, telemetry))
        probes = (database, *state_probes, *frozen.probes)
        authorization.freeze(frozen.gates)
        streams.freeze(frozen.ended)
        registry.freeze(frozen, probes)
        sinks.extend(frozen.sinks)
        job_kinds.update(kind.name for kind in frozen.jobs)
        providers.fill(collected.offers, (*frozen.wraps, *tracer.wraps()))
        health = Health(telemetry, collected.inactive)
        kernel_routes = KernelRoutes(
            health=health,
            telemetry=telemetry,
            metrics_token=kernel.metrics_token,
            title=kernel.app_name.capitalize(),
            version=version("ragwork-kernel"),
            clock=parts.clock,
            plan=frozen,
        )
        platform = Platform(
            assembly=assembly,
            urls=urls,
            plan=frozen,
            routes=kernel_routes.all(),
            parts=parts,
            pipeline=Pipeline(
                config=kernel,
                db=traced_db,
                authorization=authorization,
                authenticators=frozen.authenticators,
                admission=AdmissionPlan(traced_db, frozen.admits),
                claims=Replays(collected.capability(Replay)),
                records=Records(traced_db, collected.capability(AuditLog)),
                observers=frozen.observers,
                streams=streams,
                telemetry=telemetry,
                tracer=tracer,
            ),
            streams=streams,
            health=health,
            kernel_routes=kernel_routes,
            telemetry=telemetry,
            probes=probes,
            inactive=collected.inactive,
            facades=collected.facades,
            configs=collected.configs,
        )
        for name, lifespan in frozen.lifespans:
            await _enter(stack, name, lifespan)
        yield platform


async def _with_replica(
    stack: AsyncExitStack, kernel: KernelConfig, primary: Pool, telemetry: Telemetry
) -> Database:
    """``primary``, beside a replica when one is configured; a replica that is away does not stop the boot."""
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
        )
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError) as error:
        log.warning(
            "the read replica does not answer (%s); every read goes to the primary until a restart", error
        )
        return primary
    stack.push_async_callback(replica.close)
    return Replicated(primary, replica, telemetry)


async def _database_answers(db: Pool, telemetry: Telemetry) -> None:
    telemetry.pool(db.connections())
    await db.ping()


def _blobs(kernel: KernelConfig) -> Blob:
    """The database itself, so that every process on it sees the same blobs; a shared folder when one is named."""
    return PostgresBlobs() if kernel.blob_dir is None else DirectoryBlobs(Path(kernel.blob_dir))


def _refuse_production_gaps(assembly: Assembly) -> None:
    if not assembly.kernel.production:
        return
    gaps = [
        f"{env} (plugin {loaded.name})"
        for loaded in assembly.plugins
        if loaded.info.config is not None
        for env in assembly.configuration.missing_in_production(loaded.name)
    ]
    if assembly.kernel.database_url is None:
        gaps.insert(0, "DATABASE_URL (the embedded server is not for production)")
    if gaps:
        raise ConfigError(
            "RAGWORK_PROFILE=production",
            "unset: " + "; ".join(gaps),
            "set each, best as a file in /run/secrets",
        )


async def _bring_schema(assembly: Assembly, urls: DatabaseUrls) -> None:
    """Outside production a server that knows the owner migrates by itself; else it verifies."""
    sources = assembly.sources()
    if urls.owner is not None and not assembly.kernel.production:
        ran = await migrations.migrate(urls.owner, sources)
        if ran:
            plugins = dict.fromkeys(migration.plugin for migration in ran)
            log.info("applied %d migrations of %s", len(ran), ", ".join(plugins))
    else:
        await migrations.verify(urls.app, sources)


@attrs.frozen(kw_only=True)
class _Collected:
    contributions: dict[str, Contribution]
    offers: list[Offer]
    inactive: dict[str, str]
    facades: dict[str, PluginServices]
    configs: dict[str, Any]
    capabilities: dict[type, object]

    def capability(self, kind: type[T]) -> T | None:
        """What the kernel itself uses, if some plugin provides it."""
        return cast("T | None", self.capabilities.get(kind))


def _collect(assembly: Assembly, parts: Parts) -> _Collected:
    """Ask every plugin for its contribution, in order; what can't work is inactive with its reason."""
    capabilities: dict[type, object] = {}
    found = _Collected(
        contributions={}, offers=[], inactive={}, facades={}, configs={}, capabilities=capabilities
    )
    owners = _provider_owners()
    for loaded in assembly.plugins:
        try:
            contribution = _contribute(assembly, loaded, parts, capabilities, found, owners)
        except Exception as error:
            if loaded.info.critical:
                raise _cannot_start(loaded, error) from error
            found.inactive[loaded.name] = str(error)
            log.warning("plugin %s is inactive: %s", loaded.name, error)
            continue
        found.contributions[loaded.name] = contribution
        capabilities.update(contribution.capabilities)
    return found


def _contribute(
    assembly: Assembly,
    loaded: Loaded,
    parts: Parts,
    capabilities: Mapping[type, object],
    found: _Collected,
    owners: Mapping[str, list[tuple[str, str]]],
) -> Contribution:
    missing = [c.__name__ for c in loaded.info.requires if c not in capabilities]
    if missing:
        raise LookupError(f"needs {', '.join(missing)}, which no active plugin provides")
    config = assembly.configuration.section(loaded.name) if loaded.info.config else None
    services = PluginServices(loaded.info, parts, capabilities)
    found.facades[loaded.name] = services
    found.configs[loaded.name] = config
    context: PluginContext[Any] = PluginContext(services=services, config=config)
    contribution = assembly.call(loaded, "ragwork_contribute", context=context) or Contribution()
    if not isinstance(contribution, Contribution):
        raise TypeError(f"ragwork_contribute returned {contribution!r}; return a Contribution")
    unkept = set(loaded.info.provides) - set(contribution.capabilities)
    if unkept:
        raise TypeError(f"promises {', '.join(c.__name__ for c in unkept)} and does not provide it")
    provider_context: ProviderContext[Any] = ProviderContext(services=services, config=config)
    for kind, name in owners.get(loaded.distribution, []):
        found.offers.append(Offer(kind=kind, name=name, context=provider_context))
    return contribution


def _provider_owners() -> dict[str, list[tuple[str, str]]]:
    """Distribution → (kind, name) of the providers it installs."""
    owners: dict[str, list[tuple[str, str]]] = {}
    for kind in KINDS:
        for entry in discovery.installed(f"ragwork.{kind}").values():
            owners.setdefault(entry.distribution, []).append((kind, entry.name))
    return owners


def _cannot_start(loaded: Loaded, error: Exception) -> ConfigError:
    if isinstance(error, ConfigError):
        return error
    return ConfigError(
        f"plugin {loaded.name!r}",
        f"is critical and can't start: {type(error).__name__}: {error}",
        "mend its settings or enable what it needs",
    )


async def _enter(stack: AsyncExitStack, name: str, lifespan: plan.Lifespan) -> None:
    try:
        await stack.enter_async_context(lifespan())
    except Exception as error:
        raise ConfigError(f"plugin {name!r}", f"failed to start: {error}", "see its README") from error


async def repeat(name: str, every_s: float, run: Callable[[], Any]) -> None:
    """A ticker: run, wait, again; a failure is logged and does not end it."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await run()
        except Exception:
            log.exception("ticker %s failed", name)


@asynccontextmanager
async def background(platform: Platform) -> AsyncIterator[None]:
    """Probes, tickers and warm-ups of a serving process."""
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
