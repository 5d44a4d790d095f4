"""What a plugin is: its metadata, its contribution, the services it receives, its providers and commands.

A plugin is an object registered under the entry point group ``ragwork.plugins`` whose methods
implement ``PluginSpec`` with ``@hookimpl``. All hooks are called once, at boot, synchronously.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

import attrs
import pluggy

from ragwork_hooks.admission import AdmissionGate
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Authenticator, Principal, Roster
from ragwork_hooks.authz import Action, Decision, Gate, ReadScope, Resource
from ragwork_hooks.credentials import CredentialFormat
from ragwork_hooks.events import Events, Observer, Sink
from ragwork_hooks.governance import DataStore, Signal
from ragwork_hooks.http import AnyRoute, Area
from ragwork_hooks.jobs import JobKind, Jobs, PeriodicTask, Schedule
from ragwork_hooks.provider_kinds import ProviderKind
from ragwork_hooks.redaction import Redactor
from ragwork_hooks.shares import Shares
from ragwork_hooks.storage import Blob, Caches, Database, DatabaseServer, SharedState, Transaction

PROJECT = "ragwork"
#: Version of this contract. A plugin written for another major number is refused.
HOOKS_API = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

#: Given asyncpg's connection, which is no type of this package; it must not be kept.
RegisterCodecs: TypeAlias = Callable[[Any], Awaitable[None]]

C = TypeVar("C")
P = TypeVar("P")
V = TypeVar("V")


@attrs.frozen(kw_only=True)
class PluginInfo:
    """Who the plugin is and what it needs."""

    #: As operators enable it.
    name: str
    #: What it is for, in a line.
    summary: str
    #: The version of these hooks that it was written for.
    hooks_api: int = HOOKS_API
    #: Capability protocols that it gives to others.
    provides: tuple[type, ...] = ()
    #: Capability protocols that it can't work without.
    requires: tuple[type, ...] = ()
    #: Capability protocols that it uses where somebody provides them.
    optional: tuple[type, ...] = ()
    #: Plugins behind which its migrations and setup come, when they are enabled.
    after: tuple[str, ...] = ()
    #: Whether the boot stops when it can't start; any other becomes inactive with its reason.
    critical: bool = False
    #: A class of ``setting()`` fields.
    config: type | None = None
    #: Names of the key material that it takes from ``Services.secrets.key``.
    secrets: tuple[str, ...] = ()
    #: What else it, or a vendor's SDK in it, reads of the environment: ``SSO_CLIENT_SECRET_<NAME>``,
    #: ``AWS_<NAME>``.
    reads: tuple[str, ...] = ()
    #: Kinds of providers that it opens and the contract does not have.
    kinds: tuple[ProviderKind[Any], ...] = ()
    #: Names that people know from elsewhere and that do nothing here, each with why.
    explained: Mapping[str, str] = attrs.field(factory=dict)
    #: The Postgres schema that its migrations own.
    schema: str | None = None
    #: The folder of its ``NNNN_name.sql`` files.
    migrations: Path | None = None
    #: Awaited with each database connection when it is made, and never again for a request: how a Postgres
    #: extension's types travel. The extension may not be there yet, which must not be an error.
    codecs: tuple[RegisterCodecs, ...] = ()


@attrs.frozen(kw_only=True)
class ProviderMiddleware(Generic[P]):
    """A layer around every provider of ``kind``, composed once when the provider is bound."""

    kind: ProviderKind[P]
    name: str
    wrap: Callable[[str, P], P]


@attrs.frozen(kw_only=True)
class HealthCheck:
    """A dependency's state for health and metrics. ``check`` raises when it is down."""

    component: str
    check: Callable[[], Awaitable[None]]


@attrs.frozen(kw_only=True)
class MaintenanceTask:
    """A named chore an operator may run by hand; ``run`` gives the number of rows it removed, ``keeps_days``
    is the age from which it removes.
    """

    name: str
    run: Callable[[], Awaitable[int]]
    keeps_days: int | None = None


#: Called with what a person or credential lost rights by, in its transaction: ``(tx, user_id, credential_id)``, one
#: of which is given. Whoever derives credentials of its own from it ends those there; a raise fails the transaction.
Ended = Callable[[Transaction, str | None, str | None], Awaitable[None]]


@attrs.frozen(kw_only=True)
class Binding:
    """A provider that stored configuration names; ``where`` says whose, as an operator can find it."""

    kind: str
    name: str
    where: str


@attrs.frozen(kw_only=True)
class StoredBindings:
    """Bindings in the database, of all tenants. ``read`` gives one for each provider that is named: the boot
    refuses to serve while nobody offers it.
    """

    name: str
    read: Callable[[], Awaitable[Sequence[Binding]]]


@attrs.frozen(kw_only=True)
class Contribution:
    """All that a plugin adds."""

    #: What it serves.
    routes: tuple[AnyRoute, ...] = ()
    #: What the API's description says of each area of its routes.
    areas: tuple[Area, ...] = ()
    #: Who knows a credential.
    authenticators: tuple[Authenticator, ...] = ()
    #: How credentials look that it mints.
    credential_formats: tuple[CredentialFormat, ...] = ()
    #: Who may do what.
    gates: tuple[Gate, ...] = ()
    #: How much of it.
    admission_gates: tuple[AdmissionGate, ...] = ()
    #: What it does about events, after the transaction that published them.
    sinks: tuple[Sink, ...] = ()
    #: What it does about finished requests, within their process.
    observers: tuple[Observer, ...] = ()
    #: What it puts around every provider of a kind.
    provider_middleware: tuple[ProviderMiddleware[Any], ...] = ()
    #: Work outside of requests.
    jobs: tuple[JobKind, ...] = ()
    #: Work by the clock, once in all processes.
    schedules: tuple[Schedule, ...] = ()
    #: Work every few seconds, in each process.
    tickers: tuple[PeriodicTask, ...] = ()
    #: Dependencies whose state health and metrics show.
    probes: tuple[HealthCheck, ...] = ()
    #: What an operator may start by name.
    maintenance: tuple[MaintenanceTask, ...] = ()
    #: Names of providers that it keeps in the database.
    bindings: tuple[StoredBindings, ...] = ()
    #: Data that can be listed, exported and erased.
    data_stores: tuple[DataStore, ...] = ()
    #: Who can be named in a grant.
    rosters: tuple[Roster, ...] = ()
    #: Live numbers for others.
    signals: tuple[Signal, ...] = ()
    #: What it provides, by protocol.
    capabilities: Mapping[type, object] = attrs.field(factory=dict)
    #: Surrounds the time in which the process serves.
    lifespan: Callable[[], AbstractAsyncContextManager[None]] | None = None
    #: Runs off the request path after the first health answer, for heavy imports and models.
    warm: Callable[[], Awaitable[None]] | None = None
    #: What to set for what the plugin does not do yet, because nobody configured it: health tells it, and is
    #: none the worse.
    off: str | None = None
    #: Lets what is derived from a person or credential end with it.
    ended: Ended | None = None


OptionType: TypeAlias = Literal["text", "integer", "duration", "tenant", "path"]
OptionValue: TypeAlias = str | bool | int | timedelta | tuple[str, ...] | None


@attrs.frozen(kw_only=True)
class Option:
    """A command-line option ``--name`` or, when ``positional``, an argument.

    What was typed is checked before the command runs: ``text`` is not empty and has no control characters,
    ``integer`` (an ``int``) lies from ``minimum`` to ``maximum``, ``duration`` (a ``timedelta``) is written like
    ``90d``, ``24h``, ``30m`` or ``0s``, ``tenant`` is a well-formed tenant id, and ``path`` is made absolute from where
    the command was typed. A ``flag`` is a ``bool``. What is ``repeated`` may be given several times and is a tuple of
    texts.
    """

    name: str
    help: str
    default: str | None = None
    required: bool = False
    flag: bool = False
    repeated: bool = False
    positional: bool = False
    choices: tuple[str, ...] = ()
    type: OptionType = "text"
    minimum: int = 0
    maximum: int = 2**31 - 1


class Console(Protocol):
    """Where a command talks to its user. With ``--json`` only ``result`` reaches standard output."""

    @property
    def json(self) -> bool: ...

    def say(self, text: str) -> None:
        """A line for people."""

    def write(self, piece: str) -> None:
        """A piece of a text for people, shown at once; nothing with ``--json``."""

    def result(self, data: object, text: str) -> None:
        """The outcome: ``data`` as JSON with ``--json``, else ``text``."""

    def table(self, rows: Sequence[Mapping[str, object]], columns: Sequence[str], empty: str) -> None:
        """The outcome is a list: ``rows`` as JSON with ``--json``, else its ``columns`` under a header, or ``empty``
        when there are none.
        """

    def progress(
        self, total: int, label: str, unit: str
    ) -> AbstractAsyncContextManager[Callable[[int], None]]:
        """A bar with rate and remaining time; call the given function with how many more are done."""


@attrs.frozen(kw_only=True)
class CommandContext:
    """What a command gets: booted services and its plugin's settings, without a listening server.

    ``actor`` is who typed it, ``operator:<user of the operating system>``. ``record`` writes what it did into the
    audit log, in the transaction of the effect, as its ``Command.audit_event`` unless the note names another.
    """

    services: "Services"
    config: Any
    console: Console
    options: Mapping[str, OptionValue]
    actor: str
    record: Callable[[Transaction, AuditDetails], Awaitable[None]]
    #: Surround waiting for jobs with this: in embedded mode it works the queue in this process.
    working: Callable[[], AbstractAsyncContextManager[None]]

    def text(self, name: str) -> str:
        """The value of a required text option."""
        return self._value(name, str)

    def integer(self, name: str) -> int:
        """The value of a required integer option."""
        return self._value(name, int)

    def duration(self, name: str) -> timedelta:
        """The value of a required duration option."""
        return self._value(name, timedelta)

    def _value(self, name: str, kind: type[V]) -> V:
        value = self.options[name]
        if not isinstance(value, kind):
            raise TypeError(f"--{name} is no {kind.__name__}")
        return value


@attrs.frozen(kw_only=True)
class Command:
    """A command ``ragwork <path>``; ``--data-dir`` and ``--json`` are added. ``run`` gives the exit status.

    ``audit_event`` is that of the route which does the same; ``None`` says that the command changes nothing.
    """

    path: tuple[str, ...]
    help: str
    options: tuple[Option, ...]
    audit_event: str | None
    run: Callable[[CommandContext], Awaitable[int]]


@attrs.frozen(kw_only=True)
class OfflineCommandContext:
    """What a tool gets: nothing is booted."""

    console: Console
    options: Mapping[str, OptionValue]


@attrs.frozen(kw_only=True)
class OfflineCommand:
    """A command that needs no platform: no database is started and no setting is demanded."""

    path: tuple[str, ...]
    help: str
    options: tuple[Option, ...]
    run: Callable[[OfflineCommandContext], Awaitable[int]]


@attrs.frozen(kw_only=True)
class PluginContext(Generic[C]):
    """What a plugin is given at boot. ``config`` is its checked settings object."""

    services: "Services"
    config: C


class PluginSpec:
    """The one specification class."""

    @hookspec
    def ragwork_info(self) -> PluginInfo:  # type: ignore[empty-body]
        """The plugin's metadata. Must be cheap: no vendor import, no I/O. All that a plugin must have::

        from ragwork_hooks.plugin import PluginInfo, hookimpl


        class GreetingPlugin:
            @hookimpl
            def ragwork_info(self) -> PluginInfo:
                return PluginInfo(name="greeting", summary="says hello")


        plugin = GreetingPlugin()
        """

    @hookspec
    def ragwork_contribute(self, context: PluginContext[Any]) -> Contribution:  # type: ignore[empty-body]
        """What the plugin adds, as frozen objects. Must not do I/O; capabilities named in ``requires``
        can be used here. A plugin with a gate::

            from ragwork_hooks.authz import Abstain, Action, Deny, Gate, ReadScope
            from ragwork_hooks.plugin import Contribution, PluginInfo, hookimpl


            class NoExports(Gate):
                name, stage = "no_exports", "role"

                async def decide(self, principal, action, resource, tx):
                    return Deny(message="exports are off") if action.name == "audit.export" else Abstain()

                async def narrow(self, principal, action: Action, scope: ReadScope) -> ReadScope:
                    return scope


            class NoExportsPlugin:
                @hookimpl
                def ragwork_info(self) -> PluginInfo:
                    return PluginInfo(name="no_exports", summary="refuses exports")

                @hookimpl
                def ragwork_contribute(self, context) -> Contribution:
                    return Contribution(gates=(NoExports(),))


            plugin = NoExportsPlugin()
        """

    @hookspec
    def ragwork_commands(self) -> Sequence[Command | OfflineCommand]:  # type: ignore[empty-body]
        """Command-line commands, declared without a boot. A plugin with one::

        from ragwork_hooks.plugin import Command, CommandContext, PluginInfo, hookimpl


        async def greet(context: CommandContext) -> int:
            context.console.say(f"hello {context.actor}")
            return 0


        class GreetingPlugin:
            @hookimpl
            def ragwork_info(self) -> PluginInfo:
                return PluginInfo(name="greeting", summary="says hello")

            @hookimpl
            def ragwork_commands(self):
                return [Command(path=("greet",), help="Say hello.", options=(), audit_event=None, run=greet)]


        plugin = GreetingPlugin()
        """


@attrs.frozen
class NoOptions:
    """The options class of a provider that a binding can't configure further."""


@attrs.frozen(kw_only=True)
class ProviderContext(Generic[C]):
    """What a provider's factory is given; ``config`` is the settings object of its plugin."""

    services: "Services"
    config: C


@attrs.frozen(kw_only=True)
class Provider(Generic[P]):
    """An entry point of the group ``ragwork.<kind>``: one named implementation."""

    #: As a binding names it.
    name: str
    #: Called once per process, when a binding first names the provider.
    open: Callable[[ProviderContext[Any]], Awaitable[P]]
    #: The attrs class of what a corpus may set for it; it checks ``provider_config_json``.
    options: type = NoOptions
    #: Judges what that class can't see, the tenant and the deployment's settings: the reason why the tenant may not
    #: bind these options, naming the fix, or ``None``. No I/O.
    check_tenant: Callable[[ProviderContext[Any], str, Any], str | None] | None = None
    #: Judges the plugin's settings: what is missing for the provider to work at all (``needs OPENAI_API_KEY``), or
    #: ``None``. The boot asks it of every provider that a setting binds. No I/O.
    ready: Callable[[Any], str | None] | None = None


@attrs.frozen(kw_only=True)
class DatabaseProvider:
    """An entry point of the group ``ragwork.database``, opened in phase 0 from the data directory alone."""

    name: str
    open: Callable[[Path], DatabaseServer]


@attrs.frozen(kw_only=True)
class StateProvider:
    """An entry point of the group ``ragwork.state``: shared state of many processes, or ``memory``, of one.

    ``open`` is called in phase 0 with ``REDIS_URL`` (empty when unset); it must not wait for the store: what is
    away later may be away now. ``SharedState`` calls then raise ``ProviderError`` STATE_UNAVAILABLE.
    """

    name: str
    open: Callable[[str], AbstractAsyncContextManager[SharedState]]
    #: Raises when the store does not answer; shown as a dependency in health and metrics. ``None``: it can't be away.
    check: Callable[[SharedState], Awaitable[None]] | None


@attrs.frozen(kw_only=True)
class TracingProvider:
    """An entry point of the group ``ragwork.tracing``, opened in phase 0 with the collector's endpoint and the name
    of the service.
    """

    name: str
    open: Callable[[str, str], "KernelTracer"]


@attrs.frozen(kw_only=True)
class BlobProvider:
    """An entry point of the group ``ragwork.blob``, opened in phase 0 with the folder of ``BLOB_DIR``."""

    name: str
    open: Callable[[Path], Blob]


class Providers(Protocol):
    """The binding table. Unknown names raise ``ProviderError`` with the kind's code, naming what is there."""

    def names(self, kind: ProviderKind[Any]) -> Sequence[str]: ...

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


@attrs.frozen(kw_only=True)
class MetricSample:
    """One series: a counter's, gauge's or histogram bucket's name, labels and value."""

    name: str
    labels: Mapping[str, str]
    value: float


class Metrics(Protocol):
    """Prometheus metrics of one process. Names get the service's prefix unless they carry their own."""

    def count(self, name: str, help: str, **labels: str) -> None: ...
    def observe(self, name: str, help: str, seconds: float, **labels: str) -> None: ...
    def gauge(self, name: str, help: str, value: float, **labels: str) -> None: ...

    def read(self) -> Sequence["MetricSample"]:
        """Every series of this process as it stands now."""


class Tracer(Protocol):
    """Spans; without an exporter they cost next to nothing."""

    def span(
        self, name: str, **attributes: str | int | float | bool
    ) -> AbstractAsyncContextManager[None]: ...


class KernelTracer(Tracer, Protocol):
    """What a ``TracingProvider`` makes: a ``Tracer``, and what the kernel traces for itself."""

    def request(self, method: str, route: str) -> AbstractContextManager[Callable[[int], None]]:
        """A span around one request; what it gives is called with the answer's status."""

    def database(self, db: Database) -> Database:
        """``db`` with a span per statement."""

    def provider_middleware(self, kinds: Sequence[ProviderKind[Any]]) -> tuple[ProviderMiddleware[Any], ...]:
        """Layers around the providers of ``kinds``, one span per call."""

    def close(self) -> None:
        """Export what is left. Blocks for a few seconds at most."""


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
