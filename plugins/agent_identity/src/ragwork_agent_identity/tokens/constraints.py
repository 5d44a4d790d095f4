"""Constraints of a token: what they may say, when one is tighter than another, whether a call keeps them."""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ragwork_hooks.errors import Problem

ALLOWED: Final = "allowed"
NOT_IN_SCOPE: Final = "capability_not_in_scope"
TIME_WINDOW: Final = "time_window_violation"
AMOUNT: Final = "amount_limit_exceeded"
TASK: Final = "task_context_required"
RESULTS: Final = "max_results_exceeded"

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONG: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_HOURS: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_KEYS: Final = frozenset({"time_bounds", "max_amount_cents", "task_context_required", "max_results"})
_TIME_KEYS: Final = frozenset({"days", "hours", "timezone"})


def checked(constraints: Mapping[str, object]) -> dict[str, object]:
    """``constraints`` when every key is known and well formed. Raises ``Problem`` 400 VALIDATION_ERROR."""
    for key, value in constraints.items():
        if key not in _KEYS:
            raise _wrong(f"{key!r} is none of {', '.join(sorted(_KEYS))}")
        if key in ("max_amount_cents", "max_results") and not _count(value):
            raise _wrong(f"{key} must be a whole number, 0 or more")
        if key == "task_context_required" and not isinstance(value, bool):
            raise _wrong("task_context_required must be true or false")
        if key == "time_bounds":
            _check_times(value)
    return dict(constraints)


def tightened(held: Mapping[str, object], asked: Mapping[str, object]) -> dict[str, object]:
    """``held`` with ``asked`` laid over it. Raises ``Problem`` 403 CONSTRAINT_ESCALATION where that loosens."""
    merged = {**held, **checked(asked)}
    for key in ("max_amount_cents", "max_results"):
        if key in held and _int(merged[key]) > _int(held[key]):
            raise _escalation(f"{key} can't grow from {held[key]} to {merged[key]}")
    if held.get("task_context_required") and not merged["task_context_required"]:
        raise _escalation("task_context_required can't be lifted")
    if "time_bounds" in held and merged["time_bounds"] != held["time_bounds"]:
        _check_within(_mapping(held["time_bounds"]), _mapping(merged["time_bounds"]))
    return merged


def narrower_window(one: object, other: object) -> object:
    """The one of two windows that lies within the other. ``Problem`` 403 when neither does."""
    if one == other:
        return one
    try:
        _check_within(_mapping(one), _mapping(other))
    except Problem:
        _check_within(_mapping(other), _mapping(one))
        return one
    return other


def evaluate(
    capability: str,
    scopes: Collection[str],
    constraints: Mapping[str, object],
    context: Mapping[str, object],
    now: datetime,
) -> str:
    """``allowed``, or the code of the first constraint that the call breaks. What is ill formed is broken."""
    if capability not in scopes:
        return NOT_IN_SCOPE
    if "time_bounds" in constraints and not in_window(constraints["time_bounds"], now):
        return TIME_WINDOW
    if _exceeds(context.get("amount_cents"), constraints.get("max_amount_cents")):
        return AMOUNT
    if constraints.get("task_context_required") and not context.get("task_id"):
        return TASK
    if _exceeds(context.get("result_count"), constraints.get("max_results")):
        return RESULTS
    return ALLOWED


def in_window(bounds: object, now: datetime) -> bool:
    """Whether ``now`` (with offset) lies in the window. The night 22:00-06:00 belongs to the day it begins on."""
    try:
        _check_times(bounds)
    except Problem:
        return False
    window = _mapping(bounds)
    local = now.astimezone(ZoneInfo(str(window.get("timezone", "UTC"))))
    minute, day = local.hour * 60 + local.minute, local.weekday()
    begin, end = _minutes(window)
    if begin > end and minute < end:
        day = (day - 1) % 7
    inside = begin <= minute < end if begin < end else minute >= begin or minute < end
    return inside and day in _weekdays(window)


def _exceeds(value: object, limit: object) -> bool:
    """A value that is no whole number exceeds every limit."""
    if value is None or limit is None:
        return False
    return not _count(value) or _int(value) > _int(limit)


def _check_times(value: object) -> None:
    if not isinstance(value, Mapping) or set(value) - _TIME_KEYS:
        raise _wrong(f"time_bounds must be an object of {', '.join(sorted(_TIME_KEYS))}")
    days = value.get("days")
    if days is not None and not (isinstance(days, list) and days and all(_day(d) is not None for d in days)):
        raise _wrong("time_bounds.days must name days of the week")
    hours = value.get("hours")
    if hours is not None and not (isinstance(hours, str) and _HOURS.fullmatch(hours)):
        raise _wrong("time_bounds.hours must be HH:MM-HH:MM")
    try:
        ZoneInfo(str(value.get("timezone", "UTC")))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _wrong("time_bounds.timezone is no time zone") from None


def _check_within(held: Mapping[str, object], asked: Mapping[str, object]) -> None:
    if held.get("timezone", "UTC") != asked.get("timezone", "UTC"):
        raise _escalation("time_bounds.timezone can't change")
    if not _weekdays(asked) <= _weekdays(held) or not _span(asked) <= _span(held):
        raise _escalation("time_bounds can't reach beyond those held")


def _span(window: Mapping[str, object]) -> frozenset[int]:
    begin, end = _minutes(window)
    length = (end - begin) % 1440 or 1440
    return frozenset((begin + step) % 1440 for step in range(length))


def _minutes(window: Mapping[str, object]) -> tuple[int, int]:
    match = _HOURS.fullmatch(str(window.get("hours") or "00:00-00:00"))
    if match is None:
        raise _wrong("time_bounds.hours must be HH:MM-HH:MM")
    begin_h, begin_m, end_h, end_m = (int(part) for part in match.groups())
    return begin_h * 60 + begin_m, end_h * 60 + end_m


def _weekdays(window: Mapping[str, object]) -> frozenset[int]:
    days = window.get("days")
    if not isinstance(days, list):
        return frozenset(range(7))
    return frozenset(day for day in map(_day, days) if day is not None)


def _day(name: object) -> int | None:
    lowered = name.lower() if isinstance(name, str) else ""
    for names in (_DAYS, _LONG):
        if lowered in names:
            return names.index(lowered)
    return None


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _wrong(message: str) -> Problem:
    return Problem("VALIDATION_ERROR", f"constraints: {message}", status=400)


def _escalation(message: str) -> Problem:
    return Problem("CONSTRAINT_ESCALATION", message, status=403)
