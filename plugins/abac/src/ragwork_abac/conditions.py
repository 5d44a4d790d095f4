"""The condition language: JSON to a checked tree. What this accepts, every evaluator can decide."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, time
from typing import Final, Literal, TypeAlias, cast

import attrs
import orjson

from ragwork_abac.attributes import Scalar, is_declared

Path: TypeAlias = tuple[str | int, ...]
Comparison: TypeAlias = Literal["eq", "in", "gt", "gte", "lt", "lte", "contains", "starts_with"]
COMPARISONS: Final = frozenset({"eq", "in", "gt", "gte", "lt", "lte", "contains", "starts_with"})
#: Operators that are the negation of another.
NEGATED: Final = {"ne": "eq", "not_in": "in"}
_TIME: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class ConditionError(Exception):
    """A condition that is not taken, and where. ``too_complex`` when a limit is the reason."""

    def __init__(self, path: Path, message: str, *, too_complex: bool = False) -> None:
        super().__init__(message)
        self.path = path
        self.message = message
        self.too_complex = too_complex


@attrs.frozen
class Var:
    """A declared attribute."""

    path: str


@attrs.frozen
class Constant:
    """A constant: a scalar, or a tuple of scalars where a list is meant."""

    value: Scalar | tuple[Scalar, ...]


Operand: TypeAlias = Var | Constant


@attrs.frozen
class Always:
    """``{}``: matches."""


@attrs.frozen
class AllConditions:
    parts: tuple["Condition", ...]


@attrs.frozen
class AnyCondition:
    parts: tuple["Condition", ...]


@attrs.frozen
class NegatedCondition:
    part: "Condition"


@attrs.frozen
class Compare:
    operator: Comparison
    left: Operand
    right: Operand


@attrs.frozen
class TimeBetween:
    """The time of day in UTC lies in [start, end), over midnight when start is later."""

    value: Operand
    start: time
    end: time


@attrs.frozen
class DateBetween:
    """The date in UTC lies in [start, end]."""

    value: Operand
    start: date
    end: date


Condition: TypeAlias = (
    Always | AllConditions | AnyCondition | NegatedCondition | Compare | TimeBetween | DateBetween
)


def parse(condition: Mapping[str, object], *, max_bytes: int, max_depth: int) -> Condition:
    """The tree of ``condition``. Raises ``ConditionError``; takes time in proportion to ``max_bytes`` at most."""
    try:
        size = len(orjson.dumps(condition))
    except orjson.JSONEncodeError:
        # orjson refuses deep nesting and texts that are no Unicode.
        raise ConditionError(
            (), "is nested too deep or holds what JSON can't carry", too_complex=True
        ) from None
    if size > max_bytes:
        raise ConditionError((), f"has {size} bytes, at most {max_bytes} are taken", too_complex=True)
    return _ConditionParser(max_depth).condition(condition, (), 1)


def variables(condition: Condition) -> frozenset[str]:
    """Every attribute that ``condition`` names."""
    match condition:
        case Always():
            return frozenset()
        case AllConditions(parts) | AnyCondition(parts):
            return frozenset().union(*(variables(part) for part in parts))
        case NegatedCondition(part):
            return variables(part)
        case Compare(_, left, right):
            return frozenset(operand.path for operand in (left, right) if isinstance(operand, Var))
        case TimeBetween(value) | DateBetween(value):
            return frozenset({value.path}) if isinstance(value, Var) else frozenset()


@attrs.frozen
class _ConditionParser:
    max_depth: int

    def condition(self, given: object, path: Path, depth: int) -> Condition:
        if not isinstance(given, Mapping):
            raise ConditionError(path, "must be an object with one operator")
        if depth > self.max_depth:
            raise ConditionError(path, f"is nested deeper than {self.max_depth}", too_complex=True)
        if not given:
            return Always()
        if len(given) > 1:
            raise ConditionError(path, "has several operators; combine them with all or any")
        name, payload = next(iter(given.items()))
        return self._operator(name, payload, (*path, name), depth)

    def _operator(self, name: str, payload: object, path: Path, depth: int) -> Condition:
        match name:
            case "all":
                return AllConditions(self._parts(payload, path, depth))
            case "any":
                return AnyCondition(self._parts(payload, path, depth))
            case "not":
                return NegatedCondition(self.condition(payload, path, depth + 1))
            case "time_between":
                return _time_between(payload, path)
            case "date_between":
                return _date_between(payload, path)
        if name in NEGATED:
            return NegatedCondition(_compare(NEGATED[name], payload, path))
        if name in COMPARISONS:
            return _compare(name, payload, path)
        known = sorted({"all", "any", "not", "time_between", "date_between", *NEGATED, *COMPARISONS})
        raise ConditionError(path, f"is no operator; choose one of {', '.join(known)}")

    def _parts(self, payload: object, path: Path, depth: int) -> tuple[Condition, ...]:
        if not isinstance(payload, Sequence) or isinstance(payload, str) or not payload:
            raise ConditionError(path, "must be a list of one condition or more")
        return tuple(self.condition(part, (*path, n), depth + 1) for n, part in enumerate(payload))


def _compare(name: str, payload: object, path: Path) -> Compare:
    (left, left_at), (right, right_at) = _sides(payload, path)
    return Compare(
        cast(Comparison, name),
        _operand(left, left_at, lists=name == "contains"),
        _operand(right, right_at, lists=name == "in"),
    )


def _time_between(payload: object, path: Path) -> TimeBetween:
    (value, value_at), (bounds, bounds_at) = _sides(payload, path)
    start, end = (time.fromisoformat(text) for text in _bounds(bounds, bounds_at, _TIME, "HH:MM"))
    if start == end:
        raise ConditionError(bounds_at, "start and end must differ")
    return TimeBetween(_operand(value, value_at), start, end)


def _date_between(payload: object, path: Path) -> DateBetween:
    (value, value_at), (bounds, bounds_at) = _sides(payload, path)
    try:
        start, end = (date.fromisoformat(text) for text in _bounds(bounds, bounds_at, _DATE, "YYYY-MM-DD"))
    except ValueError:
        raise ConditionError(bounds_at, "is not a date of the calendar") from None
    if start > end:
        raise ConditionError(bounds_at, "start must not be after end")
    return DateBetween(_operand(value, value_at), start, end)


def _sides(payload: object, path: Path) -> tuple[tuple[object, Path], tuple[object, Path]]:
    if isinstance(payload, list | tuple) and len(payload) == 2:
        return (payload[0], (*path, 0)), (payload[1], (*path, 1))
    if isinstance(payload, Mapping) and payload.keys() == {"left", "right"}:
        return (payload["left"], (*path, "left")), (payload["right"], (*path, "right"))
    if isinstance(payload, Mapping) and payload.keys() == {"field", "value"}:
        # A field is the path itself; it is checked like any other variable.
        return ({"var": payload["field"]}, (*path, "field")), (payload["value"], (*path, "value"))
    raise ConditionError(path, "must be [left, right], {left, right} or {field, value}")


def _bounds(bounds: object, path: Path, pattern: re.Pattern[str], form: str) -> tuple[str, str]:
    if not isinstance(bounds, Mapping) or bounds.keys() != {"start", "end"}:
        raise ConditionError(path, "must be an object with start and end")
    for name in ("start", "end"):
        text = bounds[name]
        if not isinstance(text, str) or not pattern.fullmatch(text):
            raise ConditionError((*path, name), f"must be a text like {form}")
    return bounds["start"], bounds["end"]


def _operand(given: object, path: Path, *, lists: bool = False) -> Operand:
    if isinstance(given, Mapping):
        name = given.get("var")
        if given.keys() != {"var"} or not isinstance(name, str):
            raise ConditionError(path, 'must be a constant or {"var": "<attribute>"}')
        if not is_declared(name):
            raise ConditionError(path, f"{name[:80]!r} is no attribute that conditions may name")
        return Var(name)
    if isinstance(given, list | tuple):
        if not lists:
            raise ConditionError(path, "must not be a list")
        return Constant(tuple(_scalar(item, (*path, n)) for n, item in enumerate(given)))
    return Constant(_scalar(given, path))


def _scalar(given: object, path: Path) -> Scalar:
    if isinstance(given, float) and not math.isfinite(given):
        raise ConditionError(path, "must be a finite number")
    if isinstance(given, str) and "\x00" in given:
        raise ConditionError(path, "must not contain NUL characters")
    if not isinstance(given, str | int | float | bool):
        raise ConditionError(
            path, "must be a text, number or boolean; a missing attribute never matches null"
        )
    return given
