"""The kernel's parts, put together: over what the boot opened, or over what stands in for it."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import attrs
from ragwork_hooks.events import Sink
from ragwork_hooks.infrastructure import KernelTracer
from ragwork_hooks.operations import HealthCheck
from ragwork_hooks.redaction import Redactor
from ragwork_hooks.storage import Database, SharedState

from ragwork_kernel.base import clock, secrets
from ragwork_kernel.base.egress import EgressClient
from ragwork_kernel.base.telemetry import Telemetry, teach_logging
from ragwork_kernel.boot.collection import Collected
from ragwork_kernel.boot.contributions import ContributionRegistry, Contributions
from ragwork_kernel.boot.plugin_set import PluginSet
from ragwork_kernel.boot.providers import ProviderTable
from ragwork_kernel.boot.services import KernelServices
from ragwork_kernel.data.blobs import blobs
from ragwork_kernel.data.caches import KernelCaches
from ragwork_kernel.data.notifications import NotificationChannel
from ragwork_kernel.request.authorization import AuthorizationGates
from ragwork_kernel.request.sse import StreamRegistry
from ragwork_kernel.work.outbox import OutboxEvents
from ragwork_kernel.work.queue import PostgresJobs


@attrs.frozen(kw_only=True)
class Ground:
    """What stands on connections. ``keys`` is the key material of every plugin, by name."""

    db: Database
    state: SharedState
    notifications: NotificationChannel
    telemetry: Telemetry
    tracer: KernelTracer
    keys: Mapping[str, bytes]


class Wiring:
    """``parts`` for the plugins, and the handles on those that are filled once every plugin has contributed."""

    def __init__(self, assembly: PluginSet, ground: Ground, data_dir: Path) -> None:
        kernel = assembly.kernel
        self.egress = EgressClient(kernel.egress_allow_private)
        self.providers = ProviderTable(assembly.kernel.provider_open_timeout_s)
        self.streams = StreamRegistry(ground.notifications)
        self.authorization = AuthorizationGates()
        self._registry = ContributionRegistry()
        self._redactor, self._secrets = Redactor(), assembly.configuration.secret_values()
        self._redactor.learn((), self._secrets)
        self._sinks: list[Sink] = []
        self._job_kinds: set[str] = set()
        self._tracer, self._kinds = ground.tracer, tuple(assembly.kinds.values())
        self.parts = KernelServices(
            db=ground.db,
            state=ground.state,
            blob=blobs(kernel.blob_dir),
            caches=KernelCaches(ground.notifications),
            jobs=PostgresJobs(self._job_kinds),
            events=OutboxEvents(self._sinks),
            egress=self.egress,
            providers=self.providers,
            streams=self.streams,
            secrets=secrets.KernelSecrets(assembly.layers, ground.keys, self._redactor),
            clock=clock.SystemClock(),
            metrics=ground.telemetry,
            tracer=ground.tracer,
            shares=ground.telemetry.shares,
            authorization=self.authorization,
            registry=self._registry,
            redactor=self._redactor,
            app_name=kernel.app_name,
            version=version("ragwork-kernel"),
            profile=kernel.profile,
            embedded=kernel.database_url is None,
            data_dir=data_dir,
        )

    def freeze(self, plan: Contributions, collected: Collected, probes: tuple[HealthCheck, ...]) -> None:
        """Nothing is added after this."""
        self.authorization.freeze(plan.gates)
        self.streams.freeze(plan.ended)
        self._redactor.learn(plan.credential_formats)
        teach_logging(plan.credential_formats, self._secrets)
        self._registry.freeze(plan, probes)
        self._sinks.extend(plan.sinks)
        self._job_kinds.update(kind.name for kind in plan.jobs)
        self.providers.fill(
            collected.offers, (*plan.provider_middleware, *self._tracer.provider_middleware(self._kinds))
        )
