"""What a plugin is handed: one facade per plugin over the kernel's parts, limited to what its info declares."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import attrs
from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import Action, Decision, ReadScope, Resource
from ragwork_hooks.errors import busy
from ragwork_hooks.events import Events
from ragwork_hooks.jobs import Jobs
from ragwork_hooks.operations import Metrics, Tracer
from ragwork_hooks.plugin import PluginInfo
from ragwork_hooks.redaction import Redactor
from ragwork_hooks.services import Clock, Egress, LiveStreams, Providers, Registry, Secrets
from ragwork_hooks.shares import Shares
from ragwork_hooks.storage import Blob, Caches, Database, SharedState, Transaction

from ragwork_kernel.base.shares import SharesFactory
from ragwork_kernel.request.authorization import AuthorizationGates

C = TypeVar("C")


@attrs.frozen(kw_only=True)
class KernelServices:
    """The kernel's own services, shared by every plugin's facade: a field here and one in ``Services`` make a new one.

    What begins with an underscore is for the methods of the facade.
    """

    db: Database
    state: SharedState
    blob: Blob
    caches: Caches
    jobs: Jobs
    events: Events
    egress: Egress
    providers: Providers
    streams: LiveStreams
    secrets: Secrets
    clock: Clock
    metrics: Metrics
    tracer: Tracer
    _shares: SharesFactory
    _authorization: AuthorizationGates
    registry: Registry
    redactor: Redactor
    app_name: str
    version: str
    profile: Literal["development", "test", "production"]
    embedded: bool
    data_dir: Path


@attrs.frozen(kw_only=True)
class PluginServices(KernelServices):
    """Implements ``ragwork_hooks.services.Services`` for the plugin of ``info``.

    ``capabilities`` is filled as the boot goes on; a plugin only looks up what stands before it.
    """

    _info: PluginInfo
    _capabilities: Mapping[type, object]

    @classmethod
    def of(
        cls, parts: KernelServices, info: PluginInfo, capabilities: Mapping[type, object]
    ) -> "PluginServices":
        """``parts``, limited to what ``info`` declares."""
        shared: dict[str, Any] = {str(f.alias): getattr(parts, f.name) for f in attrs.fields(KernelServices)}
        return cls(info=info, capabilities=capabilities, **shared)

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
