"""Conditions as read scopes: evaluated as far as caller and time go, the document left open.

A condition gives two scopes, the documents for which it is surely true and those for which it is surely
false. What the algebra can't say is in neither, so it grants nothing and a deny built on it denies.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, TypeGuard, assert_never

import attrs
from ragwork_hooks.authz import (
    Everything,
    HasLabel,
    IdIn,
    LabelComparison,
    LabelIn,
    Nothing,
    OwnedBy,
    ReadScope,
    all_of,
    any_of,
    negated,
)

from ragwork_abac.attributes import LABEL, Facts, Value, is_label, of_document_only
from ragwork_abac.conditions import (
    AllConditions,
    Always,
    AnyCondition,
    Compare,
    Condition,
    Constant,
    DateBetween,
    NegatedCondition,
    Operand,
    TimeBetween,
    Var,
)
from ragwork_abac.evaluation import Truth, compiled, relation

_Scope: TypeAlias = Callable[[Sequence[str]], ReadScope]
_FLIPPED: Final = {"gt": "lt", "gte": "lte", "lt": "gt", "lte": "gte"}


@attrs.frozen
class ScopePair:
    """Where a condition surely holds and where it surely fails."""

    holds: ReadScope
    fails: ReadScope


NEITHER: Final = ScopePair(Nothing(), Nothing())


def sides(condition: Condition, facts: Facts) -> ScopePair:
    """Both scopes of ``condition`` within what the document ACL lets the caller read; ``facts`` lack the
    document's own attributes.
    """
    match condition:
        case Always():
            return _constant(True)
        case AllConditions(parts):
            found = [sides(part, facts) for part in parts]
            return ScopePair(all_of(*(s.holds for s in found)), any_of(*(s.fails for s in found)))
        case AnyCondition(parts):
            found = [sides(part, facts) for part in parts]
            return ScopePair(any_of(*(s.holds for s in found)), all_of(*(s.fails for s in found)))
        case NegatedCondition(part):
            inner = sides(part, facts)
            return ScopePair(inner.fails, inner.holds)
        case Compare():
            return _compare(condition, facts)
        case TimeBetween(value) | DateBetween(value):
            return NEITHER if _open(value) else _constant(compiled(condition)(facts))
        case _:
            assert_never(condition)


def _compare(test: Compare, facts: Facts) -> ScopePair:
    left, right = test.left, test.right
    if _open(left) and not _open(right):
        return _about(left.path, test.operator, _value(right, facts))
    if _open(right) and not _open(left):
        return _mirrored(right.path, test.operator, _value(left, facts))
    if _open(left):
        return NEITHER
    return _constant(relation(test.operator)(_value(left, facts), _value(right, facts)))


def _mirrored(path: str, name: str, known: Value | None) -> ScopePair:
    """The document's attribute stands on the right."""
    if name == "in":
        return _about(path, "contains", known) if path == "resource.permissions" else NEITHER
    flipped = _FLIPPED.get(name, name)
    return _about(path, flipped, known) if name == "eq" or name in _FLIPPED else NEITHER


def _about(path: str, name: str, known: Value | None) -> ScopePair:
    """A document's attribute, compared with what is known."""
    if is_label(path):
        return _about_label(path[len(LABEL) :], name, known)
    match path, name, known:
        case "resource.permissions", "contains", "read":
            # The ACL narrows to what the caller may read, so this holds for all that is left.
            return _constant(True)
        case "resource.id", "eq" | "in", _:
            return _matching(lambda values: IdIn(frozenset(values)), Everything(), name, known)
        case "resource.owner", "eq" | "in", _:
            return _matching(lambda values: any_of(*map(OwnedBy, sorted(values))), Everything(), name, known)
    return NEITHER


def _about_label(key: str, name: str, known: Value | None) -> ScopePair:
    there = HasLabel(key)
    if name in ("eq", "in"):
        return _matching(lambda values: LabelIn(key, frozenset(values)), there, name, known)
    if not isinstance(known, str):
        return NEITHER
    match name:
        case "lt" | "lte" | "gt" | "gte" | "starts_with" | "contains":
            holds = LabelComparison(key, name, known)
            return ScopePair(holds, all_of(there, negated(holds)))
    return NEITHER


def _matching(scope: _Scope, there: ReadScope, name: str, known: Value | None) -> ScopePair:
    """``eq`` or ``in``: where the attribute is one of the known texts. With a value of another type among
    them it is unknown where it is none.
    """
    values: Sequence[Value] = ()
    if name == "eq" and isinstance(known, str):
        values = (known,)
    elif name == "in" and isinstance(known, tuple):
        values = known
    else:
        return NEITHER
    holds = scope([value for value in values if isinstance(value, str)]) if values else Nothing()
    strict = all(isinstance(value, str) for value in values)
    return ScopePair(holds, all_of(there, negated(holds)) if strict else Nothing())


def _open(operand: Operand) -> TypeGuard[Var]:
    return isinstance(operand, Var) and of_document_only(operand.path)


def _value(operand: Operand, facts: Facts) -> Value | None:
    return operand.value if isinstance(operand, Constant) else facts.get(operand.path)


def _constant(truth: Truth) -> ScopePair:
    if truth is None:
        return NEITHER
    return ScopePair(Everything(), Nothing()) if truth else ScopePair(Nothing(), Everything())
