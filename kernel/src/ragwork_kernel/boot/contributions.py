"""The frozen plan: everything plugins contributed, type-checked once, then never changed.

pluggy accepts anything; what is not exactly of the declared type stops here, with its owner's name.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import attrs
from ragwork_hooks.admission import AdmissionGate
from ragwork_hooks.auth import Authenticator, Roster
from ragwork_hooks.authz import Gate
from ragwork_hooks.credentials import CredentialFormat
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.events import Observer, Sink
from ragwork_hooks.governance import DataStore, Signal
from ragwork_hooks.http import AnyRoute, Area, Route
from ragwork_hooks.jobs import JobKind, PeriodicTask, Schedule
from ragwork_hooks.operations import Advisor, HealthCheck, MaintenanceTask
from ragwork_hooks.plugin import Contribution, Ended
from ragwork_hooks.providers import ProviderMiddleware, StoredBindings

from ragwork_kernel.base.layers import nearest

GATE_STAGES = ("role", "resource")
STAGES = ("address", "switch", "rate", "entitlement", "capacity", "quota", "sla", "cost")
Lifespan = Callable[[], AbstractAsyncContextManager[None]]


@attrs.frozen(kw_only=True)
class Contributions:
    """What serves. ``admission_gates`` maps each stage to its gates in order."""

    routes: tuple[AnyRoute, ...]
    areas: tuple[Area, ...]
    authenticators: tuple[Authenticator, ...]
    credential_formats: tuple[CredentialFormat, ...]
    #: Who is shown a bearer token that begins so.
    authenticators_of: Mapping[str, tuple[Authenticator, ...]]
    gates: tuple[Gate, ...]
    admission_gates: Mapping[str, tuple[AdmissionGate, ...]]
    sinks: tuple[Sink, ...]
    observers: tuple[Observer, ...]
    provider_middleware: tuple[ProviderMiddleware[Any], ...]
    jobs: tuple[JobKind, ...]
    schedules: tuple[Schedule, ...]
    tickers: tuple[PeriodicTask, ...]
    probes: tuple[HealthCheck, ...]
    advisors: tuple[Advisor, ...]
    maintenance: tuple[MaintenanceTask, ...]
    bindings: tuple[StoredBindings, ...]
    data_stores: tuple[DataStore, ...]
    rosters: tuple[Roster, ...]
    signals: tuple[Signal, ...]
    lifespans: tuple[tuple[str, Lifespan], ...]
    warms: tuple[tuple[str, Callable[[], Any]], ...]
    ended: tuple[Ended, ...]


class ContributionRegistry:
    """Implements ``ragwork_hooks.services.Registry``: empty until the plan is frozen."""

    def __init__(self) -> None:
        self.routes: tuple[AnyRoute, ...] = ()
        self.areas: tuple[Area, ...] = ()
        self.admission_gates: tuple[AdmissionGate, ...] = ()
        self.probes: tuple[HealthCheck, ...] = ()
        self.maintenance: tuple[MaintenanceTask, ...] = ()
        self.schedules: tuple[Schedule, ...] = ()
        self.signals: tuple[Signal, ...] = ()
        self.data_stores: tuple[DataStore, ...] = ()
        self.rosters: tuple[Roster, ...] = ()

    def freeze(self, plan: Contributions, probes: tuple[HealthCheck, ...]) -> None:
        """``probes`` has the kernel's own, too."""
        self.routes, self.areas = plan.routes, plan.areas
        self.admission_gates = tuple(gate for stage in plan.admission_gates.values() for gate in stage)
        self.probes, self.maintenance, self.schedules = probes, plan.maintenance, plan.schedules
        self.signals, self.data_stores, self.rosters = plan.signals, plan.data_stores, plan.rosters


def _name(item: Any) -> str:
    name: str = item.name
    return name


def _response_format(path: str) -> str:
    """A path with anonymous parameters, so that ``/a/{x}`` and ``/a/{y}`` collide."""
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


#: Field of ``Contribution`` → the type of its items (``object`` for a protocol), and what no two may share.
_ITEMS: Final[Mapping[str, tuple[type, Callable[[Any], str]]]] = {
    "routes": (Route, lambda route: f"{route.method} {_response_format(route.path)}"),
    "areas": (Area, _name),
    "authenticators": (object, _name),
    "credential_formats": (CredentialFormat, lambda known: known.prefix),
    "gates": (object, _name),
    "admission_gates": (object, _name),
    "sinks": (object, _name),
    "observers": (object, _name),
    "provider_middleware": (ProviderMiddleware, lambda wrap: f"{wrap.kind.name} {wrap.name}"),
    "jobs": (JobKind, _name),
    "schedules": (Schedule, _name),
    "tickers": (PeriodicTask, _name),
    "probes": (HealthCheck, lambda probe: probe.component),
    "advisors": (Advisor, _name),
    "maintenance": (MaintenanceTask, _name),
    "bindings": (StoredBindings, _name),
    "data_stores": (object, _name),
    "rosters": (object, _name),
    "signals": (object, _name),
}


def freeze(contributions: Mapping[str, Contribution], gate_order: tuple[str, ...]) -> Contributions:
    """Merge ``contributions`` (by plugin, in boot order). Duplicates raise ``ConfigError`` naming both owners."""
    found = {field: _collect(contributions, field, *of) for field, of in _ITEMS.items()}
    routes, gates, admission_gates = found["routes"], found["gates"], found["admission_gates"]
    authenticators, formats = found["authenticators"], found["credential_formats"]
    _unique("route name", routes, lambda route: route.name.replace(".", "_"))
    for owner, route in routes:
        _check_route(owner, route)
    _check_stages(gates, GATE_STAGES)
    _check_stages(admission_gates, STAGES)
    _check_order(gate_order, [gate.name for _, gate in (*gates, *admission_gates, *authenticators)])
    admits_in_order = _by_order(admission_gates, gate_order)
    items: dict[str, Any] = {field: tuple(item for _, item in pairs) for field, pairs in found.items()}
    items |= {
        "authenticators": _by_order(authenticators, gate_order),
        "gates": _by_order(gates, gate_order),
        "admission_gates": {stage: tuple(g for g in admits_in_order if g.stage == stage) for stage in STAGES},
    }
    return Contributions(
        **items,
        authenticators_of={
            known.prefix: _by_order([pair for pair in authenticators if pair[0] == owner], gate_order)
            for owner, known in formats
        },
        lifespans=tuple((n, c.lifespan) for n, c in contributions.items() if c.lifespan),
        warms=tuple((n, c.warm) for n, c in contributions.items() if c.warm),
        ended=tuple(c.ended for c in contributions.values() if c.ended),
    )


def _collect(
    contributions: Mapping[str, Contribution], field: str, kind: type, key: Callable[[Any], str]
) -> list[tuple[str, Any]]:
    """(owner, item) for every item of ``field``; wrong types and duplicate keys refused."""
    found: list[tuple[str, Any]] = []
    for owner, contribution in contributions.items():
        items = getattr(contribution, field)
        if not isinstance(items, tuple):
            raise _wrong(owner, field, items, "a tuple")
        for item in items:
            if not isinstance(item, kind):
                raise _wrong(owner, field, item, f"{kind.__name__} objects")
            found.append((owner, item))
    _unique(field, found, key)
    return found


def _unique(what: str, items: Iterable[tuple[str, Any]], key: Callable[[Any], str]) -> None:
    owners: dict[str, str] = {}
    for owner, item in items:
        name = key(item)
        if name in owners:
            raise ConfigError(
                f"{what} {name!r}",
                f"contributed by both {owners[name]} and {owner}",
                "disable one of the two plugins",
            )
        owners[name] = owner


def _check_order(order: tuple[str, ...], known: list[str]) -> None:
    """A name that no gate has would order nothing, and nobody would notice."""
    for name in order:
        if name not in known:
            raise ConfigError("RAGWORK_GATE_ORDER", f"no gate is called {name!r}", nearest(name, known))


def _by_order(items: list[tuple[str, Any]], order: tuple[str, ...]) -> tuple[Any, ...]:
    ranked = {name: rank for rank, name in enumerate(order)}
    return tuple(sorted((item for _, item in items), key=lambda g: ranked.get(g.name, len(ranked))))


def _check_route(owner: str, route: AnyRoute) -> None:
    public = route.scope == "public"
    faults = {
        "its path must start with /v1/ unless it has a dialect": not route.path.startswith("/v1/")
        and route.error_format is None,
        "a public route has no action": public and route.action is not None,
        "a route that is not public needs an action": not public and route.action is None,
        "scope platform needs an action with platform=True": route.scope == "platform"
        and not (route.action and route.action.platform),
        "a public route can't open a tenant transaction": public and route.transaction != "none",
        "a resource loader needs a transaction": route.resource is not None
        and route.transaction in ("none", "own"),
        "transaction='own' is for a route with an audit_event": route.transaction == "own"
        and route.audit_event is None,
        "a GET takes no body": route.method == "GET" and route.body_kind != "none",
        "an idempotency key needs transaction='write'": route.idempotency != "none"
        and route.transaction != "write",
        "a route of class read or ops can't write": route.rate_class in ("read", "ops")
        and route.transaction == "write",
        "stale_reads goes with transaction='read'": route.stale_reads and route.transaction != "read",
    }
    for fault, present in faults.items():
        if present:
            raise ConfigError(f"route {route.name!r} of {owner}", fault, "mend the declaration")


def _check_stages(gates: list[tuple[str, Any]], stages: tuple[str, ...]) -> None:
    """A gate of no known stage would never be asked."""
    for owner, gate in gates:
        if gate.stage not in stages:
            raise ConfigError(
                f"gate {gate.name!r} of {owner}",
                f"has stage {gate.stage!r}",
                f"choose one of {', '.join(stages)}",
            )


def _wrong(owner: str, field: str, value: object, wanted: str) -> ConfigError:
    return ConfigError(f"plugin {owner!r}", f"contributes {value!r} as {field}", f"give {wanted}")
