"""Conditions compiled to closures over facts, in three-valued logic: true, false, and ``None`` for unknown.

Unknown is what a missing attribute gives, and a comparison of values that are not of one type.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeGuard, assert_never

from ragwork_abac.attributes import Facts, Scalar, Value
from ragwork_abac.conditions import (
    AllConditions,
    Always,
    AnyCondition,
    Compare,
    Comparison,
    Condition,
    Constant,
    DateBetween,
    NegatedCondition,
    Operand,
    TimeBetween,
    Var,
)

Truth: TypeAlias = bool | None
Test: TypeAlias = Callable[[Facts], Truth]
_Relation: TypeAlias = Callable[[Value | None, Value | None], Truth]
_ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = MappingProxyType(
    {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
)


def compiled(condition: Condition) -> Test:
    """A total function: no facts make it raise, and it takes time in proportion to the condition."""
    match condition:
        case Always():
            return lambda _facts: True
        case AllConditions(parts):
            return _all([compiled(part) for part in parts])
        case AnyCondition(parts):
            return _any([compiled(part) for part in parts])
        case NegatedCondition(part):
            return _not(compiled(part))
        case Compare(name, left, right):
            return _compare(name, left, right)
        case TimeBetween(value, start, end):
            return _time_between(value, start, end)
        case DateBetween(value, first, last):
            return _date_between(value, first, last)
        case _:
            assert_never(condition)


def equal(a: Value | None, b: Value | None) -> Truth:
    """Whether two scalars of one type are equal; a boolean is no number."""
    if _kind(a) != _kind(b) or isinstance(a, tuple) or a is None:
        return None
    return a == b


def ordered(name: str, a: Value | None, b: Value | None) -> Truth:
    """``gt``, ``gte``, ``lt`` or ``lte`` of two numbers, or of two texts by code point."""
    if isinstance(a, str) and isinstance(b, str):
        return _ORDER[name](a, b)
    if _is_number(a) and _is_number(b):
        return _ORDER[name](a, b)
    return None


def contains(container: Value | None, item: Value | None) -> Truth:
    """An element of a list, or a part of a text."""
    if isinstance(container, tuple):
        return among(item, container)
    if isinstance(container, str) and isinstance(item, str):
        return item in container
    return None


def among(item: Value | None, values: Value | None) -> Truth:
    """Whether an element of ``values`` equals ``item``: unknown when none does and one is of another type."""
    if not isinstance(values, tuple) or item is None or isinstance(item, tuple):
        return None
    outcomes = [equal(item, value) for value in values]
    return True if True in outcomes else None if None in outcomes else False


def starts_with(text: Value | None, prefix: Value | None) -> Truth:
    if isinstance(text, str) and isinstance(prefix, str):
        return text.startswith(prefix)
    return None


def moment(value: Value | None) -> datetime | None:
    """An ISO 8601 timestamp as UTC; one without an offset is UTC."""
    if not isinstance(value, str) or "T" not in value:
        return None
    try:
        found = datetime.fromisoformat(value)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _is_number(value: Value | None) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: Value | None) -> str:
    match value:
        case bool():
            return "boolean"
        case str():
            return "text"
        case int() | float():
            return "number"
        case tuple():
            return "list"
        case _:
            return "missing"


def _all(tests: Sequence[Test]) -> Test:
    return _joined(tests, decisive=False)


def _any(tests: Sequence[Test]) -> Test:
    return _joined(tests, decisive=True)


def _joined(tests: Sequence[Test], *, decisive: bool) -> Test:
    """The first ``decisive`` outcome decides; without one, one that is unknown makes it unknown."""

    def test(facts: Facts) -> Truth:
        outcome: Truth = not decisive
        for part in tests:
            found = part(facts)
            if found is decisive:
                return found
            if found is None:
                outcome = None
        return outcome

    return test


def _not(part: Test) -> Test:
    def test(facts: Facts) -> Truth:
        found = part(facts)
        return None if found is None else not found

    return test


def relation(name: Comparison) -> _Relation:
    """The operator as a function of two values."""
    match name:
        case "eq":
            return equal
        case "in":
            return among
        case "contains":
            return contains
        case "starts_with":
            return starts_with
        case _:
            return lambda a, b: ordered(name, a, b)


def _compare(name: Comparison, left: Operand, right: Operand) -> Test:
    if isinstance(left, Var) and isinstance(right, Constant):
        if name == "eq" and isinstance(right.value, str):
            return _equals_text(left.path, right.value)
        if name == "in" and isinstance(right.value, tuple):
            return _in_list(left.path, right.value)
    relate, first, second = relation(name), _value(left), _value(right)
    return lambda facts: relate(first(facts), second(facts))


def _value(operand: Operand) -> Callable[[Facts], Value | None]:
    if isinstance(operand, Var):
        path = operand.path
        return lambda facts: facts.get(path)
    constant = operand.value
    return lambda _facts: constant


def _equals_text(path: str, text: str) -> Test:
    """``equal`` for the commonest condition."""

    def test(facts: Facts) -> Truth:
        value = facts.get(path)
        return value == text if isinstance(value, str) else None

    return test


def _in_list(path: str, values: tuple[Scalar, ...]) -> Test:
    """``among`` a constant list in constant time, however long the list is."""
    known = frozenset((_kind(value), value) for value in values)
    kinds = {_kind(value) for value in values}

    def test(facts: Facts) -> Truth:
        value = facts.get(path)
        if value is None or isinstance(value, tuple):
            return None
        kind = _kind(value)
        if (kind, value) in known:
            return True
        return False if kinds <= {kind} else None

    return test


def _time_between(operand: Operand, start: time, end: time) -> Test:
    value = _value(operand)

    def test(facts: Facts) -> Truth:
        now = _time(value(facts))
        if now is None:
            return None
        return start <= now < end if start < end else now >= start or now < end

    return test


def _time(value: Value | None) -> time | None:
    found = moment(value)
    if found is not None:
        return found.time()
    if isinstance(value, str) and len(value) in (5, 8) and value[2] == ":":
        try:
            return time.fromisoformat(value)
        except ValueError:
            return None
    return None


def _date_between(operand: Operand, first: date, last: date) -> Test:
    value = _value(operand)

    def test(facts: Facts) -> Truth:
        day = _date(value(facts))
        return None if day is None else first <= day <= last

    return test


def _date(value: Value | None) -> date | None:
    found = moment(value)
    if found is not None:
        return found.date()
    if isinstance(value, str) and len(value) == 10 and value[4] == value[7] == "-":
        try:
            return date.fromisoformat(value)
        except ValueError:
            return None
    return None
