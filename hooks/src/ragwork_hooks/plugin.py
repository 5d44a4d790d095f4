"""What a plugin is: its metadata, its contribution, and the hooks by which it gives both.

A plugin is an object registered under the entry point group ``ragwork.plugins`` whose methods
implement ``PluginSpec`` with ``@hookimpl``. All hooks are called once, at boot, synchronously.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import attrs
import pluggy

from ragwork_hooks.admission import AdmissionGate
from ragwork_hooks.auth import Authenticator, Roster
from ragwork_hooks.authz import Gate
from ragwork_hooks.commands import Command, OfflineCommand
from ragwork_hooks.credentials import CredentialFormat
from ragwork_hooks.events import Observer, Sink
from ragwork_hooks.governance import DataStore, Signal
from ragwork_hooks.http import AnyRoute, Area
from ragwork_hooks.jobs import JobKind, PeriodicTask, Schedule
from ragwork_hooks.operations import Advisor, HealthCheck, MaintenanceTask
from ragwork_hooks.provider_kinds import ProviderKind
from ragwork_hooks.providers import ProviderMiddleware, StoredBindings
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction

PROJECT = "ragwork"
#: Version of this contract. A plugin written for another major number is refused.
HOOKS_API = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

#: Given asyncpg's connection, which is no type of this package; it must not be kept.
RegisterCodecs: TypeAlias = Callable[[Any], Awaitable[None]]

C = TypeVar("C")


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
    #: A class of ``setting()`` fields, each with ``<NAME>`` in its name (``OPENAI_<NAME>_MODEL``): every table
    #: ``[<plugin>.NAME]`` of ``ragwork.toml`` makes an object of it, and every provider of the plugin is there once
    #: more as ``<provider>.NAME``, opened with that object as its ``config``.
    named_config: type | None = None
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


#: Called with what a person or credential lost rights by, in its transaction: ``(tx, user_id, credential_id)``, one
#: of which is given. Whoever derives credentials of its own from it ends those there; a raise fails the transaction.
Ended = Callable[[Transaction, str | None, str | None], Awaitable[None]]


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
    #: What it tells an operator who asks `ragwork doctor`.
    advisors: tuple[Advisor, ...] = ()
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

        from ragwork_hooks.commands import Command, CommandContext
        from ragwork_hooks.plugin import PluginInfo, hookimpl


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
