"""What would be decided: the enforcing evaluator, asked with given attributes."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from ragwork_hooks.auth import Principal
from ragwork_hooks.errors import Problem

from ragwork_abac.attributes import (
    DECLARED,
    LABEL,
    Facts,
    Type,
    Value,
    is_label,
    principal_facts,
    request_facts,
)
from ragwork_abac.policies import ACTIONS, RESOURCE_TYPES, WILDCARD, PolicySet, Rule
from ragwork_abac.schemas import PolicySimulationRequest, PolicySimulationResponse, TraceEntry

_RESULTS: Final = {True: "true", False: "false", None: "unknown"}


def simulated(
    rules: PolicySet, question: PolicySimulationRequest, facts: Facts, *, default_deny: bool
) -> PolicySimulationResponse:
    """The answer of ``rules``, exactly as enforcement would give it."""
    applicable = rules.about(question.resource_type, question.action)
    outcome = applicable.decide(facts, default_deny=default_deny)
    asked = (*applicable.denies, *applicable.allows)
    return PolicySimulationResponse(
        allowed=outcome.allowed,
        reason=outcome.reason,
        matched_policy_id=outcome.rule.policy.id if outcome.rule else None,
        matched_policies=[rule.policy.id for rule in asked if rule.decides(facts)],
        trace=[_entry(rule, facts) for rule in asked],
    )


def facts_of(question: PolicySimulationRequest, caller: Principal, now: datetime) -> Facts:
    """The attributes that ``question`` gives. Raises ``Problem`` 400 for those that no condition knows, 403
    for another tenant's.
    """
    _check_named("resource_type", question.resource_type, RESOURCE_TYPES)
    _check_named("action", question.action, ACTIONS)
    if question.context:
        raise _invalid(["body", "context"], "holds attributes, but conditions know none")
    own: dict[str, Value] = {"tenant_id": caller.tenant_id}
    facts: dict[str, Value] = request_facts(question.action, now)
    if question.principal is None:
        facts.update(principal_facts(caller))
    facts.update(_section("principal", {**own, **(question.principal or {})} if question.principal else {}))
    facts.update(_section("resource", {**own, **(question.resource or {}), "type": question.resource_type}))
    facts.update(_section("request", question.request or {}))
    for name in ("principal.tenant_id", "resource.tenant_id"):
        if facts.get(name, caller.tenant_id) != caller.tenant_id:
            raise Problem("AUTHZ_DENIED", f"{name} names another tenant than yours")
    return facts


def _entry(rule: Rule, facts: Facts) -> TraceEntry:
    return TraceEntry(
        policy_id=rule.policy.id,
        name=rule.policy.name,
        effect=rule.policy.effect,
        priority=rule.policy.priority,
        result="invalid" if rule.test is None else _RESULTS[rule.truth(facts)],
        matched=rule.decides(facts),
    )


def _section(section: str, given: Mapping[str, object]) -> Iterator[tuple[str, Value]]:
    """Attribute paths and values of one section, absent ones left out."""
    for name, value in given.items():
        if value is None:
            continue
        if section == "resource" and name == "labels":
            yield from _labels(value)
            continue
        path = f"{section}.{name}"
        kind = DECLARED.get(path)
        if kind is None:
            known = sorted(p.partition(".")[2] for p in DECLARED if p.startswith(f"{section}."))
            raise _invalid(["body", section, name], f"is no attribute; conditions know {', '.join(known)}")
        yield path, _typed(value, kind, ["body", section, name])


def _labels(given: object) -> Iterator[tuple[str, Value]]:
    path: list[str | int] = ["body", "resource", "labels"]
    if not isinstance(given, Mapping):
        raise _invalid(path, "must be an object of texts")
    for key, value in given.items():
        if not isinstance(value, str) or not is_label(LABEL + key):
            raise _invalid([*path, key], "must be a label that a document could carry: a text")
        yield LABEL + key, value


def _typed(value: object, kind: Type, path: list[str | int]) -> Value:
    match kind, value:
        case "text", str():
            return value
        case "boolean", bool():
            return value
        case "texts", list() if all(isinstance(item, str) for item in value):
            return tuple(sorted(value))
    wanted = {"text": "a text", "boolean": "a boolean", "texts": "a list of texts"}[kind]
    raise _invalid(path, f"must be {wanted}")


def _check_named(field: str, given: str, names: tuple[str, ...]) -> None:
    if given not in names or given == WILDCARD:
        known = ", ".join(name for name in names if name != WILDCARD)
        raise _invalid(["body", field], f"must be one of {known}")


def _invalid(path: list[str | int], message: str) -> Problem:
    return Problem(
        "AUTHZ_SIMULATION_INVALID",
        f"{'.'.join(str(part) for part in path[1:])} {message}",
        details={"errors": [{"type": "value_error", "loc": path, "msg": message}]},
    )
