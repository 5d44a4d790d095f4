"""Typed bodies: strict decoding with the path of what is wrong, and encoding of attrs objects.

cattrs structures; the primitive types are taken literally (``"5"`` is no int, ``1`` is no bool), and
unknown fields are refused.
"""

import heapq
import types
from collections import abc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from typing import Any, Final, TypeVar
from uuid import UUID

import attrs
import cattrs
import orjson
from cattrs import ClassValidationError, IterableValidationError
from cattrs.cols import is_sequence, list_structure_factory
from cattrs.errors import ForbiddenExtraKeysError
from cattrs.fns import identity
from cattrs.gen import make_dict_structure_fn
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import INT_RANGE, FieldError, wire_name
from ragwork_hooks.http import Upload

from ragwork_kernel.base import bounds

T = TypeVar("T")
#: What a refusal says at most, however much is wrong.
MAX_ROWS: Final = 20
_MAX_NAMED: Final = 5
_MAX_ECHO: Final = 100
_MAX_EXTRA_KEYS: Final = 100
_MAX_KEYS: Final = 1_000
_TIMES: Final = (datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))


def _exactly(kind: type) -> Any:
    def structure(value: Any, _target: Any) -> Any:
        if type(value) is not kind:
            raise FieldError(f"{kind.__name__}_type", f"must be {_NAMES[kind]}")
        if isinstance(value, int) and not INT_RANGE[0] <= value <= INT_RANGE[1]:
            raise FieldError("int_range", "must fit into 64 bits")
        return value

    return structure


_NAMES = {str: "a string", int: "an integer", bool: "true or false"}


def _number(value: Any, _target: Any) -> float:
    if type(value) not in (int, float):
        raise FieldError("float_type", "must be a number")
    return float(value)


def _datetime(value: Any, _target: Any) -> datetime:
    """In UTC, within years that a database and arithmetic by days can take."""
    if isinstance(value, str) and len(value) <= _MAX_ECHO:
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            parsed = None
        if parsed is not None and parsed.tzinfo is not None:
            return _in_utc(parsed)
    raise FieldError("datetime_type", "must be an ISO 8601 time with an offset")


def _in_utc(time: datetime) -> datetime:
    """The last second of the calendar is cut to a whole one: its last microsecond is a driver's word for never."""
    try:
        moment = time.astimezone(UTC)
    except OverflowError:
        moment = datetime.min.replace(tzinfo=UTC)
    if moment < _TIMES[0]:
        first, last = (f"{end:%Y-%m-%d}" for end in _TIMES)
        raise FieldError("datetime_range", f"must be within {first} and {last} UTC")
    return min(moment, _TIMES[1])


def _object(value: Any, _target: Any) -> Any:
    if not isinstance(value, dict):
        raise FieldError("dict_type", "must be an object")
    return value


def _list(target: Any, converter: cattrs.Converter) -> Any:
    """A text is a sequence too, and must not become a list of its characters."""
    items = list_structure_factory(target, converter)

    def structure(value: Any, _target: Any) -> Any:
        if not isinstance(value, list):
            raise FieldError("list_type", "must be a list")
        return items(value, target)

    return structure


def _upload(value: Any, _target: Any) -> Upload:
    if not isinstance(value, Upload):
        raise FieldError("file_type", "must be a file")
    return value


def _optional(value: Any, target: Any) -> Any:
    if value is None:
        return None
    inner = next(arg for arg in target.__args__ if arg is not types.NoneType)
    return _body_converter.structure(value, inner)


def _is_optional(target: Any) -> bool:
    return (
        isinstance(target, types.UnionType)
        and len(target.__args__) == 2
        and types.NoneType in target.__args__
    )


def _make_body_converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True, forbid_extra_keys=True)
    for kind in (str, int, bool):
        converter.register_structure_hook(kind, _exactly(kind))
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(datetime, _datetime)
    converter.register_structure_hook(Upload, _upload)
    converter.register_structure_hook_func(
        lambda t: getattr(t, "__origin__", t) in (dict, abc.Mapping), _object
    )
    converter.register_structure_hook_factory(is_sequence, _list)
    converter.register_structure_hook_func(_is_optional, _optional)
    converter.register_structure_hook_factory(
        lambda t: isinstance(t, type) and attrs.has(t), lambda t: _class(t, converter)
    )
    return converter


def _class(target: type, converter: cattrs.Converter) -> Any:
    """Keys are counted and fields measured before anything in them is looked at."""
    fill: Any = make_dict_structure_fn(
        target, converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True
    )
    fields = attrs.fields(target)
    measure = bounds.measured(fields)

    def structure(value: Any, _target: Any) -> Any:
        if isinstance(value, dict):
            if len(value) > len(fields) + _MAX_EXTRA_KEYS:
                raise ForbiddenExtraKeysError("", target, value.keys() - {a.name for a in fields})
            measure(value)
        return fill(value, target)

    return structure


_body_converter = _make_body_converter()
#: What orjson writes by itself, so that the converter need not look at it.
_WRITTEN: Final = frozenset({str, int, float, bool, datetime, UUID, types.NoneType})


def _make_reply_converter() -> cattrs.Converter:
    converter = cattrs.Converter(unstruct_collection_overrides={})
    converter.register_unstructure_hook_func(
        lambda t: t in _WRITTEN or (isinstance(t, types.UnionType) and _WRITTEN.issuperset(t.__args__)),
        identity,
    )
    return converter


_reply_converter = _make_reply_converter()


def dumps(data: object, indent: bool = False) -> bytes:
    """JSON of plain values and attrs objects at any depth; datetimes as ISO 8601 with offset."""
    return orjson.dumps(data, default=plain, option=orjson.OPT_INDENT_2 if indent else 0)


def plain(value: object) -> Any:
    """What orjson does not know by itself: attrs objects and mappings that are not dicts."""
    if (encode := _encoder(type(value))) is not None:  # type: ignore[arg-type]  # types are hashable
        return encode(value)
    if isinstance(value, abc.Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


@cache
def _encoder(kind: type) -> Callable[[Any], Any] | None:
    """Makes a dict of an object of that attrs class; ``None`` for what is none."""
    return _reply_converter.get_unstructure_hook(kind) if attrs.has(kind) else None


def structure(value: Any, target: type[T], where: str) -> T:
    """``value`` as ``target``. ``Problem`` 422 REQUEST_VALIDATION_ERROR lists every error with its path."""
    try:
        if not isinstance(value, dict):
            raise FieldError("dict_type", "must be an object")
        if target is dict:
            if len(value) > _MAX_KEYS:
                raise FieldError("dict_length", f"has {len(value)} keys, at most {_MAX_KEYS} are taken")
            return value  # type: ignore[return-value]  # T is dict here
        _refuse_tenant(value, target)
        return _body_converter.structure(value, target)
    except Problem:
        raise
    except Exception as error:
        raise refused(error, where, value) from None


def _refuse_tenant(value: dict[str, Any], target: type) -> None:
    if "tenant_id" in value and "tenant_id" not in {a.name for a in attrs.fields(target)}:
        raise Problem("TENANT_ID_NOT_ALLOWED", "the tenant comes from your credential; remove tenant_id")


def query_value(raw: str, target: Any) -> Any:
    """A query parameter's text as the JSON value its type wants; ill-formed text stays text and is refused later."""
    options = target.__args__ if isinstance(target, types.UnionType) else (target,)
    if int in options and raw.lstrip("-").isascii() and raw.lstrip("-").isdigit() and len(raw) < 20:
        return int(raw)
    if bool in options and raw in ("true", "false", "1", "0"):
        return raw in ("true", "1")
    return raw


def invalid(rows: list[dict[str, object]], more: int = 0) -> Problem:
    """The validation refusal of the contract; ``more`` errors are not among ``rows``."""
    details: dict[str, object] = {"errors": rows}
    if more:
        details["more_errors"] = more
    return Problem("REQUEST_VALIDATION_ERROR", "Validation error", details=details)


def refused(error: BaseException, where: str, value: Any) -> Problem:
    """What structuring ``value`` came upon, the first ``MAX_ROWS`` of it spelled out."""
    leaves = _leaves(error, [where], value)
    rows = [_row(*leaf) for leaf in islice(leaves, MAX_ROWS)]
    return invalid(rows, sum(1 for _ in leaves))


#: Kind, path, message, value, context of one error.
_Leaf = tuple[str, list[str | int], str, Any, object]


def _leaves(error: BaseException, path: list[str | int], value: Any) -> Iterator[_Leaf]:
    """One per thing that is wrong, its path leading from the body or query to the field."""
    if isinstance(error, ClassValidationError):
        fields, rest = error.group_exceptions()
        for inner, field in fields:
            yield from _leaves(inner, [*path, field.name], _child(value, field.name))
    elif isinstance(error, IterableValidationError):
        items, rest = error.group_exceptions()
        for inner, item in items:
            yield from _leaves(inner, [*path, item.index], _child(value, item.index))
    elif isinstance(error, ExceptionGroup):
        rest = list(error.exceptions)
    else:
        yield from _leaf(error, path, value)
        return
    for inner in rest:
        yield from _leaves(inner, path, value)


def _leaf(error: BaseException, path: list[str | int], value: Any) -> Iterator[_Leaf]:
    if isinstance(error, FieldError):
        if error.field is not None:
            path, value = [*path, error.field], _child(value, error.field)
        yield error.kind, path, str(error), value, error.context
    elif isinstance(error, ForbiddenExtraKeysError):
        for key in heapq.nsmallest(_MAX_NAMED, error.extra_fields):
            yield "extra_forbidden", [*path, key], "is not a field here", _child(value, key), None
        more = len(error.extra_fields) - _MAX_NAMED
        if more > 0:
            yield "extra_forbidden", path, f"and {more} more fields that are none here", None, None
    elif isinstance(error, KeyError):
        name = str(error.args[0])
        yield "missing", path if path[-1:] == [name] else [*path, name], "is required", None, None
    else:
        yield "value_error", path, "has the wrong type or value", value, None


def _row(
    kind: str, path: list[str | int], message: str, value: Any, context: object = None
) -> dict[str, object]:
    row: dict[str, object] = {"type": kind, "loc": location(path), "msg": message}
    if isinstance(value, str | int | float | bool) or value is None:
        row["input"] = value[:_MAX_ECHO] if isinstance(value, str) else value
    if context:
        row["ctx"] = context
    return row


def location(path: list[str | int]) -> list[str | int]:
    """``path`` in names as they stand on the wire, long ones cut."""
    return [wire_name(part)[:_MAX_ECHO] if isinstance(part, str) else part for part in path]


def _child(value: Any, key: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None
