"""Policies and the set of those in force: who decides a question, and what may be read."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import attrs
from ragwork_hooks.authz import Nothing, ReadScope, all_of, any_of

from ragwork_abac.attributes import TIME, Facts, of_document_only
from ragwork_abac.condition_scope import sides
from ragwork_abac.conditions import Condition, ConditionError, parse, variables
from ragwork_abac.evaluation import Test, Truth, compiled

Reason: TypeAlias = Literal[
    "policy_deny", "policy_allow", "default_deny", "default_allow", "policy_invalid", "abac_disabled"
]
WILDCARD: Final = "*"
RESOURCE_TYPES: Final = ("document", "corpus", "run", "admin", "ops", "audit", WILDCARD)
ACTIONS: Final = ("read", "write", "delete", "reindex", "run", "manage", WILDCARD)
#: Scopes that are remembered for callers that come back, for one resource type and action of a tenant.
_KEPT_SCOPES: Final = 256
#: Whatever the settings say today, a stored condition within these bounds stays valid.
_STORED: Final = MappingProxyType({"max_bytes": 65_536, "max_depth": 32})


@attrs.frozen(kw_only=True)
class AbacPolicy:
    """A policy as stored. ``tenant_id`` is ``None`` for those that are built in."""

    id: str
    tenant_id: str | None
    name: str
    version: int
    effect: str
    resource_type: str
    action: str
    condition: Mapping[str, object]
    priority: int
    enabled: bool
    created_by: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


def parsed_policy(policy: AbacPolicy, *, max_bytes: int, max_depth: int) -> Condition:
    """The policy's condition as a tree. Raises ``ConditionError`` for anything in the policy that is not taken."""
    if policy.resource_type not in RESOURCE_TYPES:
        raise ConditionError(("resource_type",), f"must be one of {', '.join(RESOURCE_TYPES)}")
    if policy.action not in ACTIONS:
        raise ConditionError(("action",), f"must be one of {', '.join(ACTIONS)}")
    if policy.effect not in ("allow", "deny"):
        raise ConditionError(("effect",), "must be allow or deny")
    try:
        condition = parse(policy.condition, max_bytes=max_bytes, max_depth=max_depth)
    except ConditionError as fault:
        path = ("condition_json", *fault.path)
        raise ConditionError(path, fault.message, too_complex=fault.too_complex) from None
    if policy.resource_type not in ("document", WILDCARD):
        for name in sorted(variables(condition)):
            if of_document_only(name):
                raise ConditionError(("condition_json",), f"{name[:80]!r} is an attribute of documents alone")
    return condition


@attrs.frozen
class Rule:
    """A policy ready to be asked; ``condition`` and ``test`` are ``None`` when it could not be understood."""

    policy: AbacPolicy
    condition: Condition | None
    test: Test | None
    heeds_time: bool = False

    @classmethod
    def of(cls, policy: AbacPolicy) -> "Rule":
        """The rule of a stored policy; one that is not valid becomes a rule that denies."""
        try:
            condition = parsed_policy(policy, **_STORED)
        except ConditionError:
            return cls(policy, None, None)
        return cls(policy, condition, compiled(condition), TIME in variables(condition))

    @property
    def against(self) -> bool:
        """Whether a match denies."""
        return self.test is None or self.policy.effect == "deny"

    def truth(self, facts: Facts) -> Truth:
        """Whether the condition holds; unknown when there is none that can be asked."""
        return None if self.test is None else self.test(facts)

    def decides(self, facts: Facts) -> bool:
        """Whether the policy matches. An unknown deny denies, an unknown allow grants nothing."""
        found = self.truth(facts)
        return found is not False if self.against else found is True

    def concerns(self, resource_type: str, action: str) -> bool:
        """Whether the policy is about this. What could not be understood is about everything."""
        return self.test is None or (
            self.policy.resource_type in (resource_type, WILDCARD)
            and self.policy.action in (action, WILDCARD)
        )


@attrs.frozen
class PolicyOutcome:
    """The answer to one question, why, and the rule that gave it."""

    allowed: bool
    reason: Reason
    rule: Rule | None = None


@attrs.frozen
class ApplicableRules:
    """The rules about one resource type and action, in the order in which they are asked."""

    denies: tuple[Rule, ...]
    allows: tuple[Rule, ...]
    heeds_time: bool = attrs.field(init=False)
    _scopes: dict[tuple[object, ...], ReadScope] = attrs.field(factory=dict, init=False, eq=False, repr=False)

    @heeds_time.default
    def _any_heeds_time(self) -> bool:
        return any(rule.heeds_time for rule in (*self.denies, *self.allows))

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> "ApplicableRules":
        """Deny rules, invalid ones among them, before allow rules; each by priority and then by id."""
        found = sorted(rules, key=lambda rule: (-rule.policy.priority, rule.policy.id))
        denies = tuple(rule for rule in found if rule.against)
        return cls(denies, tuple(rule for rule in found if not rule.against))

    def decide(self, facts: Facts, *, default_deny: bool) -> PolicyOutcome:
        """The outcome for ``facts``."""
        for rule in self.denies:
            if rule.decides(facts):
                return PolicyOutcome(False, "policy_invalid" if rule.test is None else "policy_deny", rule)
        for rule in self.allows:
            if rule.decides(facts):
                return PolicyOutcome(True, "policy_allow", rule)
        return PolicyOutcome(False, "default_deny") if default_deny else PolicyOutcome(True, "default_allow")

    def readable(self, facts: Facts, *, default_deny: bool) -> ReadScope:
        """The documents that ``decide`` surely allows; ``facts`` lack the document's own attributes."""
        # A run asks several times, and callers come back: the same facts give the same scope.
        known = (default_deny, *(item for item in facts.items() if item[0] != TIME or self.heeds_time))
        scope = self._scopes.get(known)
        if scope is None:
            scope = self._narrowed(facts, default_deny=default_deny)
            if len(self._scopes) >= _KEPT_SCOPES:
                self._scopes.clear()
            self._scopes[known] = scope
        return scope

    def _narrowed(self, facts: Facts, *, default_deny: bool) -> ReadScope:
        spared = [
            Nothing() if rule.condition is None else sides(rule.condition, facts).fails
            for rule in self.denies
        ]
        if not default_deny:
            return all_of(*spared)
        granted = (sides(rule.condition, facts).holds for rule in self.allows if rule.condition is not None)
        return all_of(*spared, any_of(*granted))


@attrs.frozen
class PolicySet:
    """All rules in force for one tenant at one time; never changed, only replaced."""

    tenant_id: str
    rules: tuple[Rule, ...]
    _known: dict[tuple[str, str], ApplicableRules] = attrs.field(
        factory=dict, init=False, eq=False, repr=False
    )

    @classmethod
    def of(cls, tenant_id: str, policies: Sequence[AbacPolicy]) -> "PolicySet":
        """The built-in policies and the enabled ones of ``policies``."""
        rules = (Rule.of(policy) for policy in (*BUILT_IN, *policies) if policy.enabled)
        return cls(tenant_id, tuple(rules))

    def about(self, resource_type: str, action: str) -> ApplicableRules:
        """The rules about this. A resource type that the contract does not name meets wildcards alone."""
        found = self._known.get((resource_type, action))
        if found is None:
            found = ApplicableRules.of(rule for rule in self.rules if rule.concerns(resource_type, action))
            # Names come from route declarations, so there are few.
            self._known[resource_type, action] = found
        return found

    def invalid(self) -> Sequence[AbacPolicy]:
        """Policies that could not be understood."""
        return [rule.policy for rule in self.rules if rule.test is None]


def _built_in(
    id: str, name: str, resource_type: str, action: str, condition: dict[str, object]
) -> AbacPolicy:
    return AbacPolicy(
        id=f"builtin.{id}",
        tenant_id=None,
        name=name,
        version=1,
        effect="allow",
        resource_type=resource_type,
        action=action,
        condition=condition,
        priority=0,
        enabled=True,
    )


#: What makes a fresh install usable, and no more than roles and grants allow.
BUILT_IN: Final = (
    _built_in(
        "document-grants",
        "holders of a grant that satisfies the action",
        "document",
        WILDCARD,
        {"contains": [{"var": "resource.permissions"}, {"var": "request.action"}]},
    ),
    _built_in(
        "document-administration",
        "administrators manage the grants of documents",
        "document",
        "manage",
        {"eq": [{"var": "principal.role"}, "admin"]},
    ),
    _built_in(
        "roles",
        "whom the role opens anything but a document",
        WILDCARD,
        WILDCARD,
        {"ne": [{"var": "resource.type"}, "document"]},
    ),
)
