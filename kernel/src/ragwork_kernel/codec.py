"""Typed bodies: strict decoding with the path of what is wrong, and encoding of attrs objects.

cattrs structures; the primitive types are taken literally (``"5"`` is no int, ``1`` is no bool), and
unknown fields are refused.
"""

import types
from collections import abc
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import attrs
import cattrs
import orjson
from cattrs import ClassValidationError, IterableValidationError
from cattrs.cols import is_sequence, list_structure_factory
from cattrs.errors import ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import FieldError
from ragwork_hooks.http import Upload

T = TypeVar("T")


def _exactly(kind: type) -> Any:
    def structure(value: Any, _target: Any) -> Any:
        if type(value) is not kind:
            raise FieldError(f"{kind.__name__}_type", f"must be {_NAMES[kind]}")
        return value

    return structure


_NAMES = {str: "a string", int: "an integer", bool: "true or false"}


def _number(value: Any, _target: Any) -> float:
    if type(value) not in (int, float):
        raise FieldError("float_type", "must be a number")
    return float(value)


def _datetime(value: Any, _target: Any) -> datetime:
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            parsed = None
        if parsed is not None and parsed.tzinfo is not None:
            return parsed
    raise FieldError("datetime_type", "must be an ISO 8601 time with an offset")


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
        lambda t: isinstance(t, type) and attrs.has(t),
        lambda t: make_dict_structure_fn(
            t, converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True
        ),
    )
    return converter


_body_converter = _make_body_converter()
_reply_converter = cattrs.Converter(unstruct_collection_overrides={})
_reply_converter.register_unstructure_hook(datetime, lambda value: value)


def dumps(data: object, indent: bool = False) -> bytes:
    """JSON of plain values and attrs objects at any depth; datetimes as ISO 8601 with offset."""
    return orjson.dumps(data, default=plain, option=orjson.OPT_INDENT_2 if indent else 0)


def plain(value: object) -> Any:
    """What orjson does not know by itself: attrs objects and mappings that are not dicts."""
    if attrs.has(type(value)):
        return _reply_converter.unstructure(value)
    if isinstance(value, abc.Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def parse(raw: bytes) -> Any:
    """JSON text to plain values. ``Problem`` 422 for anything else."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise invalid([_row("json_invalid", ["body"], str(error), None)]) from None


def structure(value: Any, target: type[T], where: str) -> T:
    """``value`` as ``target``. ``Problem`` 422 REQUEST_VALIDATION_ERROR lists every error with its path."""
    try:
        if not isinstance(value, dict):
            raise FieldError("dict_type", "must be an object")
        if target is dict:
            return value  # type: ignore[return-value]  # T is dict here
        _refuse_tenant(value, target)
        return _body_converter.structure(value, target)
    except Problem:
        raise
    except Exception as error:
        rows = _rows(error, [where], value)
        raise invalid(rows) from None


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


def wire_name(field: str) -> str:
    """A field's name outside: a trailing underscore only keeps it from being a keyword of Python (``from_``)."""
    return field.removesuffix("_")


def invalid(rows: list[dict[str, object]]) -> Problem:
    """The validation refusal of the contract."""
    return Problem("REQUEST_VALIDATION_ERROR", "Validation error", details={"errors": rows})


def _rows(error: BaseException, path: list[str | int], value: Any) -> list[dict[str, object]]:
    """One row per leaf, its ``loc`` the path from the body or query to the field."""
    if isinstance(error, ClassValidationError):
        named, rest = error.group_exceptions()
        rows = [
            row for inner, note in named for row in _rows(inner, [*path, note.name], _child(value, note.name))
        ]
        return rows + [row for inner in rest for row in _rows(inner, path, value)]
    if isinstance(error, IterableValidationError):
        items, rest = error.group_exceptions()
        rows = [
            row
            for inner, note in items
            for row in _rows(inner, [*path, note.index], _child(value, note.index))
        ]
        return rows + [row for inner in rest for row in _rows(inner, path, value)]
    if isinstance(error, ExceptionGroup):
        return [row for inner in error.exceptions for row in _rows(inner, path, value)]
    return _leaf(error, path, value)


def _leaf(error: BaseException, path: list[str | int], value: Any) -> list[dict[str, object]]:
    if isinstance(error, FieldError):
        if error.field is not None:
            path, value = [*path, error.field], _child(value, error.field)
        return [_row(error.kind, path, str(error), value, error.context)]
    if isinstance(error, ForbiddenExtraKeysError):
        return [
            _row("extra_forbidden", [*path, key], "is not a field here", _child(value, key))
            for key in sorted(error.extra_fields)
        ]
    if isinstance(error, KeyError):
        name = str(error.args[0])
        at = path if path[-1:] == [name] else [*path, name]
        return [_row("missing", at, "is required", None)]
    return [_row("value_error", path, "has the wrong type or value", value)]


def _row(
    kind: str, path: list[str | int], message: str, value: Any, context: object = None
) -> dict[str, object]:
    loc = [wire_name(part) if isinstance(part, str) else part for part in path]
    row: dict[str, object] = {"type": kind, "loc": loc, "msg": message}
    if isinstance(value, str | int | float | bool) or value is None:
        row["input"] = value[:200] if isinstance(value, str) else value
    if context:
        row["ctx"] = context
    return row


def _child(value: Any, key: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None
