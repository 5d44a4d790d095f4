"""May this caller do this: actions, resources, verdicts, gates and the scope of what may be read."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, Protocol, TypeAlias

import attrs

from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.errors import STATUS_OF, Problem
from ragwork_hooks.storage import Transaction


@attrs.frozen(kw_only=True)
class Action:
    """What is attempted. ``name`` is ``<resource kind>.<verb>`` (``document.read``).

    ``makes_credential`` says that it makes or widens something that opens doors: a key, token or secret, who gets one,
    what one may do. Whoever is bound themselves may not, see ``may_make_credential``.
    """

    name: str
    role: Role = Role.READER
    platform: bool = False
    makes_credential: bool = False


@attrs.frozen(kw_only=True)
class Resource:
    """What it is attempted on. ``permissions`` are those that grants give this caller on it."""

    kind: str
    id: str
    tenant_id: str
    owner: str | None = None
    labels: Mapping[str, str] = attrs.field(factory=dict)
    permissions: frozenset[str] = frozenset()


@attrs.frozen
class Allow:
    """This gate is for it."""


@attrs.frozen
class Deny:
    """This gate is against it; one Deny outweighs every Allow. Codes are those of the contract."""

    code: str = "AUTHZ_DENIED"
    message: str = "you may not do this"
    details: Mapping[str, object] = attrs.field(factory=dict)
    headers: Mapping[str, str] = attrs.field(factory=dict)
    #: The audit event of this refusal; ``None`` leaves the choice to the stage.
    audit_event: str | None = attrs.field(default=None, kw_only=True)
    #: What else must be written because of it, in the transaction that records the refusal.
    record: "Callable[[Transaction], Awaitable[None]] | None" = attrs.field(default=None, kw_only=True)


@attrs.frozen
class Abstain:
    """Not this gate's business."""


Verdict: TypeAlias = Allow | Deny | Abstain
ALLOW, ABSTAIN = Allow(), Abstain()


@attrs.frozen(kw_only=True)
class Decision:
    """Who said what. ``verdict`` is the outcome over all gates; ``trail`` one entry per gate asked."""

    verdict: Allow | Deny
    trail: tuple["GateDecision", ...]


@attrs.frozen(kw_only=True)
class GateDecision:
    """One gate's verdict and the time it took, for audit and ``explain``."""

    gate: str
    verdict: Verdict
    seconds: float


class Gate(Protocol):
    """Authorization gate. ``stage`` is ``role`` (before limits) or ``resource`` (after them).

    Over one stage at least one Allow and no Deny are needed. A gate that raises or returns anything
    else is a Deny; a stage without gates denies.
    """

    name: str
    stage: Literal["role", "resource"]

    async def decide(
        self, principal: Principal, action: Action, resource: Resource | None, tx: Transaction | None
    ) -> Verdict:
        """The verdict. ``tx`` is bound to the principal's tenant; ``None`` at stage ``role``."""

    async def narrow(self, principal: Principal, action: Action, scope: "ReadScope") -> "ReadScope":
        """What of ``scope`` the principal may read; used by lists, counts and ranking queries."""


def problem_of(verdict: Deny, default_status: int = 403) -> Problem:
    """The denial as the caller sees it; a code of a plugin's own gets ``default_status``."""
    return Problem(
        verdict.code,
        verdict.message,
        status=STATUS_OF.get(verdict.code, default_status),
        details=verdict.details,
        headers=verdict.headers,
        audit_event=verdict.audit_event,
    )


# --- the closed algebra of read scopes: what a ranking query can express -------------------------


@attrs.frozen
class Everything:
    """No restriction. Only a system task may end with it."""


@attrs.frozen
class Nothing:
    """Reads nothing."""


@attrs.frozen
class ReadableBy:
    """Documents with an unexpired read grant to one of ``readers``, given as ``type:id`` texts."""

    readers: frozenset[str]


@attrs.frozen
class OwnedBy:
    """Documents whose owner is ``user_id``."""

    user_id: str


@attrs.frozen
class IdIn:
    """Documents with one of ``document_ids``."""

    document_ids: frozenset[str]


@attrs.frozen
class HasLabel:
    """Documents that have a label ``key``, whatever its value."""

    key: str


@attrs.frozen
class LabelIn:
    """Documents whose label ``key`` has one of ``values``; a document without the label does not match."""

    key: str
    values: frozenset[str]


@attrs.frozen
class LabelComparison:
    """Documents whose label ``key`` stands in a relation to ``value``; without the label none does.

    Order is that of code points; ``starts_with`` and ``contains`` heed case.
    """

    key: str
    relation: Literal["lt", "lte", "gt", "gte", "starts_with", "contains"]
    value: str


@attrs.frozen
class AllOf:
    parts: tuple["ReadScope", ...]


@attrs.frozen
class AnyOf:
    parts: tuple["ReadScope", ...]


@attrs.frozen
class Not:
    part: "ReadScope"


Leaf: TypeAlias = Everything | Nothing | ReadableBy | OwnedBy | IdIn | HasLabel | LabelIn | LabelComparison
ReadScope: TypeAlias = Leaf | AllOf | AnyOf | Not


def all_of(*scopes: ReadScope) -> ReadScope:
    """What lies in each of ``scopes``, without needless parts."""
    parts: dict[ReadScope, None] = {}
    for scope in scopes:
        for part in scope.parts if isinstance(scope, AllOf) else (scope,):
            if isinstance(part, Nothing):
                return part
            if not isinstance(part, Everything):
                parts[part] = None
    return AllOf(tuple(parts)) if len(parts) > 1 else next(iter(parts), Everything())


def any_of(*scopes: ReadScope) -> ReadScope:
    """What lies in at least one of ``scopes``, without needless parts."""
    parts: dict[ReadScope, None] = {}
    for scope in scopes:
        for part in scope.parts if isinstance(scope, AnyOf) else (scope,):
            if isinstance(part, Everything):
                return part
            if not isinstance(part, Nothing):
                parts[part] = None
    return AnyOf(tuple(parts)) if len(parts) > 1 else next(iter(parts), Nothing())


def negated(scope: ReadScope) -> ReadScope:
    """What does not lie in ``scope``."""
    match scope:
        case Everything():
            return Nothing()
        case Nothing():
            return Everything()
        case Not(part):
            return part
        case _:
            return Not(scope)


def in_scopes(principal: Principal, action: Action) -> bool:
    """Whether the credential's scopes cover ``action``: its name, or its kind with ``.*``."""
    if principal.scopes is None:
        return True
    return action.name in principal.scopes or f"{action.name.partition('.')[0]}.*" in principal.scopes


def readers_of(principal: Principal) -> frozenset[str]:
    """The reader texts a principal answers to: user, api_key, role, groups and tenant."""
    return frozenset(
        {
            f"user:{principal.user_id}",
            f"api_key:{principal.credential_id}",
            f"role:{principal.role.label}",
            f"tenant:{principal.tenant_id}",
            *(f"group:{group}" for group in principal.groups),
        }
    )
