"""Services: all that the kernel gives a plugin."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import attrs

from ragwork_hooks.admission import AdmissionGate
from ragwork_hooks.auth import Principal, Roster
from ragwork_hooks.authz import Action, Decision, ReadScope, Resource
from ragwork_hooks.events import Events
from ragwork_hooks.governance import DataStore, Signal
from ragwork_hooks.http import AnyRoute, Area
from ragwork_hooks.jobs import Jobs, Schedule
from ragwork_hooks.operations import HealthCheck, MaintenanceTask, Metrics, Tracer
from ragwork_hooks.provider_kinds import ProviderKind
from ragwork_hooks.redaction import Redactor
from ragwork_hooks.shares import Shares
from ragwork_hooks.storage import Blob, Caches, Database, SharedState, Transaction

C = TypeVar("C")
P = TypeVar("P")


class Providers(Protocol):
    """The binding table. Unknown names raise ``ProviderError`` with the kind's code, naming what is there."""

    def names(self, kind: ProviderKind[Any]) -> Sequence[str]: ...

    async def unready(self, kind: ProviderKind[Any], name: str) -> str | None:
        """What the provider lacks to work at all (``needs OPENAI_API_KEY``), ``None`` when it lacks nothing."""

    async def open(self, kind: ProviderKind[P], name: str) -> P:
        """The provider, opened by the first who asks and shared by all."""

    async def check(
        self, kind: ProviderKind[Any], name: str, options: Mapping[str, object], tenant_id: str
    ) -> None:
        """Hold ``options`` against the provider's class, and against what it permits the tenant; ``Problem`` 422
        names a wrong key's nearest match.
        """


class Clock(Protocol):
    def now(self) -> datetime:
        """The time in UTC, for display and hints; what must be exact asks the database."""

    def monotonic(self) -> float: ...


class Secrets(Protocol):
    """Secret values by name (``APIKEY_PEPPER``), from files, environment, or made once outside production."""

    def key(self, name: str) -> bytes:
        """At least 32 random bytes that every process of the deployment shares. Call it at boot."""

    def value(self, name: str) -> str | None:
        """A configured secret, ``None`` when unset."""


@attrs.frozen(kw_only=True)
class EgressResponse:
    """An outbound call's answer, its body already read within the cap."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Egress(Protocol):
    """The one outbound HTTP client: address vetted and pinned, no redirects, size and time capped."""

    async def request(
        self,
        method: Literal["GET", "POST", "PUT", "DELETE"],
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float = 10.0,
        max_bytes: int = 1_048_576,
    ) -> EgressResponse:
        """Raises ``ProviderError`` EGRESS_REFUSED for an address that policy forbids, else
        INTEGRATION_UNAVAILABLE.
        """


class LiveStreams(Protocol):
    """The live event streams of every process."""

    async def cut(
        self, tx: Transaction, *, user_id: str | None = None, credential_id: str | None = None
    ) -> None:
        """End the matching streams of the transaction's tenant with ``error`` and ``done`` when it commits, those
        included that act for ``user_id`` or stand on ``credential_id``. Every plugin's ``ended`` hears of it in
        this transaction.
        """


class Registry(Protocol):
    """What the kernel and all active plugins contributed, for views that join them. Complete once the boot has
    frozen it. ``admission_gates`` has the gates in the order in which they are asked.
    """

    @property
    def routes(self) -> tuple[AnyRoute, ...]: ...
    @property
    def areas(self) -> tuple[Area, ...]: ...
    @property
    def admission_gates(self) -> tuple[AdmissionGate, ...]: ...
    @property
    def probes(self) -> tuple[HealthCheck, ...]: ...
    @property
    def maintenance(self) -> tuple[MaintenanceTask, ...]: ...
    @property
    def schedules(self) -> tuple[Schedule, ...]: ...
    @property
    def signals(self) -> tuple[Signal, ...]: ...
    @property
    def data_stores(self) -> tuple[DataStore, ...]: ...
    @property
    def rosters(self) -> tuple[Roster, ...]: ...


class Services(Protocol):
    """All that the kernel gives a plugin. Never the web application, never a pool."""

    @property
    def db(self) -> Database: ...
    @property
    def state(self) -> SharedState: ...
    @property
    def blob(self) -> Blob: ...
    @property
    def caches(self) -> Caches: ...
    @property
    def jobs(self) -> Jobs: ...
    @property
    def events(self) -> Events: ...
    @property
    def egress(self) -> Egress: ...
    @property
    def providers(self) -> Providers: ...
    @property
    def streams(self) -> LiveStreams: ...
    @property
    def secrets(self) -> Secrets: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def tracer(self) -> Tracer: ...
    @property
    def registry(self) -> Registry: ...
    @property
    def redactor(self) -> Redactor:
        """Takes credentials out of texts: knows every active plugin's formats and the configured secrets."""

    @property
    def app_name(self) -> str:
        """What the operator calls this deployment."""

    @property
    def version(self) -> str:
        """The kernel's release."""

    @property
    def profile(self) -> Literal["development", "test", "production"]: ...
    @property
    def embedded(self) -> bool:
        """Whether the database is the one that this server started itself."""

    @property
    def data_dir(self) -> Path:
        """The folder for what must outlive the process beside the database. It may not exist yet."""

    def shares(
        self,
        name: str,
        places: int,
        *,
        waiting: int,
        refusal: Callable[[str], Exception] = ...,
        wait_s: float | None = None,
        most: int | None = None,
    ) -> Shares:
        """Something that tenants compete for in this process; ``name`` is its metrics' label, after the plugin's.

        ``waiting`` bounds who waits, first waiters of tenants that hold nothing not counted; ``wait_s`` how long
        the others wait. ``refusal`` makes the error that the refused get from a sentence that says why; without
        it that is ``Problem`` 503 SERVICE_BUSY. ``most`` is what one tenant may hold at once; without it,
        everything.
        """

    def use(self, capability: type[C]) -> C:
        """The provider of a capability that the plugin's info ``requires``, or provides itself.
        ``LookupError`` otherwise.
        """

    def use_optional(self, capability: type[C]) -> C | None:
        """The same for a capability named ``optional``; ``None`` when nobody provides it."""

    async def authorize(
        self, principal: Principal, action: Action, resource: Resource, tx: Transaction
    ) -> Decision:
        """The authorization plan outside HTTP, both stages. Jobs and overwrites use it like routes do."""

    async def read_scope(self, principal: Principal, action: Action) -> ReadScope:
        """What ``principal`` may read, narrowed by every gate. Starts from everything in the tenant."""
