"""The gates: policies over what routes do, over documents, and over what may be read."""

from types import MappingProxyType
from typing import Final, Literal, Protocol

from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.authz import (
    ABSTAIN,
    ALLOW,
    Action,
    Deny,
    ReadScope,
    Resource,
    Verdict,
    all_of,
)
from ragwork_hooks.errors import Problem
from ragwork_hooks.services import Clock
from ragwork_hooks.storage import Transaction

from ragwork_abac.attributes import principal_facts, request_facts, resource_facts
from ragwork_abac.config import AbacConfig
from ragwork_abac.policies import PolicyOutcome, PolicySet

DOCUMENT: Final = "document"
READ: Final = Action(name="policy.read", role=Role.ADMIN)
MANAGE: Final = Action(name="policy.manage", role=Role.ADMIN, makes_credential=True)
SIMULATE: Final = Action(name="policy.simulate", role=Role.ADMIN)
#: What no policy judges, so that none can lock a tenant out of mending its policies.
_BY_ROLE_ALONE: Final = frozenset({READ.name, MANAGE.name, SIMULATE.name})

_TYPES: Final = MappingProxyType(
    {"document": DOCUMENT, "corpus": "corpus", "run": "run", "session": "run", "ops": "ops", "audit": "audit"}
)
_VERBS: Final = MappingProxyType(
    {
        **dict.fromkeys(("read", "list", "get", "view", "retrieve"), "read"),
        **dict.fromkeys(("write", "create", "update", "patch", "configure"), "write"),
        "delete": "delete",
        "reindex": "reindex",
        "run": "run",
    }
)


class PolicyCache(Protocol):
    """Where the gates get their rules."""

    async def in_force(self, tenant_id: str) -> PolicySet: ...


def resource_type(kind: str, action: Action) -> str:
    """The contract's resource type of an action or resource of ``kind``. What only administrators may do is
    ``admin``; another kind keeps its name, which wildcards alone match.
    """
    return _TYPES.get(kind) or ("admin" if action.role >= Role.ADMIN or action.platform else kind)


def verb(action: Action) -> str:
    """The contract's action for ``action``."""
    if action.name == "run.create":
        return "run"
    return _VERBS.get(action.name.rpartition(".")[2], "manage")


class _Gate:
    """What both gates share."""

    def __init__(self, policies: PolicyCache, clock: Clock, config: AbacConfig) -> None:
        self._policies = policies
        self._clock = clock
        self._config = config

    async def _judge(
        self, principal: Principal, action: Action, kind: str, resource: Resource | None
    ) -> Verdict:
        try:
            # Also where nothing is judged: a route's first load of the rules should not hold its transaction.
            rules = await self._policies.in_force(principal.tenant_id)
        except Problem as problem:
            return Deny(problem.code, problem.message, problem.details, problem.headers)
        type_, what = resource_type(kind, action), verb(action)
        if action.name in _BY_ROLE_ALONE or (type_ == DOCUMENT and resource is None):
            return ABSTAIN
        facts = {
            **principal_facts(principal),
            **resource_facts(type_, resource.tenant_id if resource else principal.tenant_id, resource),
            **request_facts(what, self._clock.now()),
        }
        outcome = rules.about(type_, what).decide(facts, default_deny=self._config.default_deny)
        return _verdict(outcome, type_, what)


class RouteGate(_Gate):
    """Policies over everything but documents, known by its action alone. Stage ``role``."""

    name = "abac.role"
    stage: Literal["role", "resource"] = "role"

    async def decide(
        self, principal: Principal, action: Action, resource: Resource | None, tx: Transaction | None
    ) -> Verdict:
        """Abstains for documents: these are judged when they are known."""
        del resource, tx
        if not self._config.enabled:
            return ABSTAIN
        return await self._judge(principal, action, action.name.partition(".")[0], None)

    async def narrow(self, principal: Principal, action: Action, scope: ReadScope) -> ReadScope:
        """``scope`` itself: this gate knows no rows."""
        del principal, action
        return scope


class DocumentGate(_Gate):
    """Policies over what a route has loaded. Stage ``resource``; abstains when policies are switched off."""

    name = "abac"
    stage: Literal["role", "resource"] = "resource"

    async def decide(
        self, principal: Principal, action: Action, resource: Resource | None, tx: Transaction | None
    ) -> Verdict:
        del tx  # the rules come from a cache, the attributes from the resource's loader
        if not self._config.enabled or resource is None:
            return ABSTAIN
        return await self._judge(principal, action, resource.kind, resource)

    async def narrow(self, principal: Principal, action: Action, scope: ReadScope) -> ReadScope:
        """The documents of ``scope`` that policies let ``principal`` read, whatever the action."""
        del action
        if not self._config.enabled:
            return scope
        rules = await self._policies.in_force(principal.tenant_id)
        facts = {
            **principal_facts(principal),
            **resource_facts(DOCUMENT, principal.tenant_id, None),
            **request_facts("read", self._clock.now()),
        }
        applicable = rules.about(DOCUMENT, "read")
        return all_of(scope, applicable.readable(facts, default_deny=self._config.default_deny))


def _verdict(outcome: PolicyOutcome, type_: str, what: str) -> Verdict:
    if outcome.allowed:
        return ALLOW if outcome.reason == "policy_allow" else ABSTAIN
    details = {"reason": outcome.reason, "resource_type": type_, "action": what}
    if outcome.rule is None:
        message = f"no policy allows {what!r} on this {type_}; an administrator may add one"
        return Deny("AUTHZ_DENIED", message, details, audit_event="authz.access.denied")
    return Deny(
        "AUTHZ_DENIED",
        f"policy {outcome.rule.policy.id} denies {what!r} on this {type_}",
        {**details, "policy_id": outcome.rule.policy.id},
        audit_event="authz.policy.denied",
    )
