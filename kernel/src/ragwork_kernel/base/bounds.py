"""How much a field of a body takes, declared or by default: measured before anything in it is looked at."""

import types
from collections import abc
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import attrs
import orjson
from cattrs.cols import is_sequence
from ragwork_hooks.fields import JSON_BYTES, MAX_ITEMS, MAX_JSON, MAX_TEXT, SCHEMA, FieldError

Fields = Sequence["attrs.Attribute[Any]"]
_Check = Callable[[Any], None]
_MAPS: Final = (dict, abc.Mapping)


def measured(fields: Fields) -> Callable[[dict[str, Any]], None]:
    """A check of all ``fields`` of a class. Raises ``FieldError`` that names the field."""
    checks = [(field.name, check) for field in fields for check in _checks(field)]

    def measure(body: dict[str, Any]) -> None:
        for name, check in checks:
            try:
                check(body.get(name))
            except FieldError as error:
                error.field = name
                raise

    return measure


def is_list(target: Any) -> bool:
    """Whether a field of this type takes a list, ``None`` beside it or not."""
    return any(is_sequence(option) for option in _options(target))


def is_free(target: Any) -> bool:
    """Whether a field of this type takes JSON of any form, or a list of it."""
    return any(_is_map(o) or (is_sequence(o) and _holds_free(o)) for o in _options(target))


def max_items(field: "attrs.Attribute[Any]") -> int:
    """The bound of a field that takes a list."""
    return _bound(field, "maxItems", MAX_ITEMS)


def max_json(field: "attrs.Attribute[Any]") -> int:
    """The bound of a field that takes JSON of any form, in encoded bytes."""
    return _bound(field, JSON_BYTES, MAX_JSON)


def max_text(field: "attrs.Attribute[Any]") -> int:
    """The bound of a field that takes a text, in characters."""
    return _bound(field, "maxLength", MAX_TEXT)


def _checks(field: "attrs.Attribute[Any]") -> Iterator[_Check]:
    if is_list(field.type):
        yield _at_most(max_items(field))
    if is_free(field.type):
        yield _of_bytes(max_json(field))
    if str in _options(field.type):
        yield _of_characters(max_text(field))


def _at_most(most: int) -> _Check:
    def check(value: Any) -> None:
        if isinstance(value, list) and len(value) > most:
            raise FieldError("list_length", f"has {len(value)} entries, at most {most} are taken")

    return check


def _of_bytes(most: int) -> _Check:
    def check(value: Any) -> None:
        if isinstance(value, dict | list) and (size := len(orjson.dumps(value))) > most:
            raise FieldError("json_too_large", f"has {size} bytes as JSON, at most {most} are taken")

    return check


def _of_characters(most: int) -> _Check:
    def check(value: Any) -> None:
        if isinstance(value, str) and len(value) > most:
            raise FieldError("string_too_long", f"has {len(value)} characters, at most {most} are taken")

    return check


def _bound(field: "attrs.Attribute[Any]", keyword: str, default: int) -> int:
    return int(field.metadata.get(SCHEMA, {}).get(keyword, default))


def _options(target: Any) -> tuple[Any, ...]:
    return target.__args__ if isinstance(target, types.UnionType) else (target,)


def _is_map(target: Any) -> bool:
    return getattr(target, "__origin__", target) in _MAPS


def _holds_free(target: Any) -> bool:
    inside = getattr(target, "__args__", (Any,))[0]
    return inside in (Any, object) or _is_map(inside)
