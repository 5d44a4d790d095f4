"""What a plugin is handed: one facade per plugin over the kernel's parts, limited to what its info declares."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, TypeVar, cast

import attrs
from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import Action, Decision, ReadScope, Resource
from ragwork_hooks.errors import busy
from ragwork_hooks.events import Events
from ragwork_hooks.jobs import Jobs
from ragwork_hooks.plugin import (
    Clock,
    Egress,
    Metrics,
    PluginInfo,
    Providers,
    Registry,
    Secrets,
    Streams,
    Tracer,
)
from ragwork_hooks.redaction import Redactor
from ragwork_hooks.shares import Shares
from ragwork_hooks.storage import Blob, Caches, Database, State, Transaction

from ragwork_kernel.authorize import AuthorizationPlan
from ragwork_kernel.shares import SharesFactory

C = TypeVar("C")


@attrs.frozen(kw_only=True)
class Parts:
    """The kernel's own services, shared by every plugin's facade."""

    db: Database
    state: State
    blob: Blob
    caches: Caches
    jobs: Jobs
    events: Events
    egress: Egress
    providers: Providers
    streams: Streams
    secrets: Secrets
    clock: Clock
    metrics: Metrics
    tracer: Tracer
    shares: SharesFactory
    authorization: AuthorizationPlan
    registry: Registry
    redactor: Redactor
    profile: Literal["development", "test", "production"]
    embedded: bool
    data_dir: Path


class PluginServices:
    """Implements ``ragwork_hooks.plugin.Services`` for one plugin."""

    def __init__(self, info: PluginInfo, parts: Parts, capabilities: Mapping[type, object]) -> None:
        self._info = info
        self._authorization = parts.authorization
        self._shares = parts.shares
        # Filled as the boot goes on; a plugin only looks up what stands before it.
        self._capabilities = capabilities
        self.db = parts.db
        self.state = parts.state
        self.blob = parts.blob
        self.caches = parts.caches
        self.jobs = parts.jobs
        self.events = parts.events
        self.egress = parts.egress
        self.providers = parts.providers
        self.streams = parts.streams
        self.secrets = parts.secrets
        self.clock = parts.clock
        self.metrics = parts.metrics
        self.tracer = parts.tracer
        self.registry = parts.registry
        self.redactor = parts.redactor
        self.profile = parts.profile
        self.embedded = parts.embedded
        self.data_dir = parts.data_dir

    def shares(
        self,
        name: str,
        places: int,
        *,
        waiting: int,
        refusal: Callable[[str], Exception] = busy,
        wait_s: float | None = None,
        most: int | None = None,
    ) -> Shares:
        return self._shares.make(
            f"{self._info.name}.{name}", places, waiting=waiting, refusal=refusal, wait_s=wait_s, most=most
        )

    def use(self, capability: type[C]) -> C:
        if capability not in (*self._info.requires, *self._info.provides):
            raise LookupError(
                f"plugin {self._info.name} uses {capability.__name__} without naming it in requires"
            )
        return cast(C, self._capabilities[capability])

    def use_optional(self, capability: type[C]) -> C | None:
        if capability not in self._info.optional:
            raise LookupError(
                f"plugin {self._info.name} uses {capability.__name__} without naming it in optional"
            )
        return cast("C | None", self._capabilities.get(capability))

    async def authorize(
        self, principal: Principal, action: Action, resource: Resource, tx: Transaction
    ) -> Decision:
        return await self._authorization.decide(principal, action, resource, tx)

    async def read_scope(self, principal: Principal, action: Action) -> ReadScope:
        return await self._authorization.read_scope(principal, action)
