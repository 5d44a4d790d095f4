"""JSON Schemas and examples of attrs classes, collected under stable names."""

import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, Literal

import attrs
from ragwork_hooks.fields import SCHEMA, wire_name
from ragwork_hooks.http import Upload

from ragwork_apidocs.default_bounds import with_defaults
from ragwork_apidocs.field_docs import FieldDocs

_PRIMITIVES: Final[Mapping[Any, dict[str, object]]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    Upload: {"type": "string", "contentMediaType": "application/octet-stream"},
    Any: {},
    object: {},
}
#: What shows a value of a type when its field gives no example.
_SHOWN: Final[Mapping[Any, object]] = {
    bool: True,
    datetime: "2026-01-05T09:30:00+00:00",
    date: "2026-01-05",
    Upload: "Every employee has 30 days of paid leave a year.",
}


class Schemas:
    """``found`` are the components by name: a class's own, unless an earlier class has it. Then the package
    of the later one stands before it, so that an added plugin never renames what was there. Fields of ``measured``
    classes show what they take by default.
    """

    def __init__(self, taken: Iterable[str], measured: frozenset[type] = frozenset()) -> None:
        self.found: dict[str, object] = {}
        self.docs = FieldDocs()
        self._taken = frozenset(taken)
        self._measured = measured
        self._names: dict[Any, str] = {}

    def of(self, kind: Any) -> dict[str, object]:
        """The schema of a type; a reference for a class."""
        if kind in _PRIMITIVES:
            return dict(_PRIMITIVES[kind])
        origin, args = typing.get_origin(kind), typing.get_args(kind)
        if origin is Literal:
            return {"type": "string", "enum": list(args)}
        if _is_list(origin):
            return {"type": "array", "items": self.of(args[0])}
        if _is_map(origin or kind):
            return {"type": "object", **({"additionalProperties": self.of(args[1])} if args else {})}
        if origin in (types.UnionType, typing.Union):
            return {"anyOf": [{"type": "null"} if o is types.NoneType else self.of(o) for o in args]}
        return self._reference(origin or kind, args)

    def fields(self, kind: Any, args: tuple[Any, ...] = ()) -> Iterator[tuple[str, bool, dict[str, object]]]:
        """Wire name, whether it must be there, and schema of every field of a class."""
        for field, hint in _hints(kind, args):
            yield wire_name(field.name), field.default is attrs.NOTHING, self._field(kind, field, hint)

    def example(self, kind: Any) -> object:
        """A value of a type as JSON; ``attrs.NOTHING`` where a field that must be there shows none."""
        origin, args = typing.get_origin(kind), typing.get_args(kind)
        if kind in _SHOWN:
            return _SHOWN[kind]
        if origin is Literal:
            return args[0]
        if _is_list(origin):
            item = self.example(args[0])
            return item if item is attrs.NOTHING else [item]
        if origin in (types.UnionType, typing.Union):
            shown = self.example(args[0])
            return None if shown is attrs.NOTHING else shown
        return self._example_of_class(origin or kind, args) if attrs.has(origin or kind) else attrs.NOTHING

    def _example_of_class(self, kind: Any, args: tuple[Any, ...]) -> object:
        made: dict[str, object] = {}
        for field, hint in _hints(kind, args):
            optional = field.default is not attrs.NOTHING
            value = self._field_example(kind, field, attrs.NOTHING if optional else hint)
            if value is attrs.NOTHING and not optional:
                return attrs.NOTHING
            if value is not attrs.NOTHING:
                made[wire_name(field.name)] = value
        return made

    def _field_example(self, kind: Any, field: "attrs.Attribute[Any]", hint: Any) -> object:
        """What its comment gives, else its first choice, else what its type shows."""
        given = self.docs.of(kind, field.name).example
        if given is not attrs.NOTHING or hint is attrs.NOTHING:
            return given
        choices = field.metadata.get(SCHEMA, {}).get("enum")
        return choices[0] if choices else self.example(hint)

    def _field(self, kind: Any, field: "attrs.Attribute[Any]", hint: Any) -> dict[str, object]:
        schema = self.of(hint)
        bounds: Mapping[str, object] = field.metadata.get(SCHEMA, {})
        options = schema.get("anyOf")
        if isinstance(options, list) and bounds:
            schema = {"anyOf": [o if o == {"type": "null"} else _bounded(o, bounds) for o in options]}
        else:
            schema = _bounded(schema, bounds)
        if kind in self._measured:
            schema = with_defaults(schema)
        if isinstance(field.default, str | int | float | bool):
            schema["default"] = field.default
        doc = self.docs.of(kind, field.name)
        if doc.text:
            schema["description"] = doc.text
        if doc.example is not attrs.NOTHING:
            schema["examples"] = [doc.example]
        return schema

    def _reference(self, kind: Any, args: tuple[Any, ...]) -> dict[str, object]:
        name = self._names.get((kind, args))
        if name is None:
            name = self._names[kind, args] = self._free_name(kind, args)
            self.found[name] = {}
            self.found[name] = self._class(kind, args)
        return {"$ref": f"#/components/schemas/{name}"}

    def _free_name(self, kind: Any, args: tuple[Any, ...]) -> str:
        base: str = kind.__name__ + "".join(getattr(arg, "__name__", "") for arg in args)
        package = kind.__module__.partition(".")[0].removeprefix("ragwork_")
        name = base
        while name in self.found or name in self._taken:
            name = camel_case(package) + name
        return name

    def _class(self, kind: Any, args: tuple[Any, ...]) -> dict[str, object]:
        fields = list(self.fields(kind, args))
        schema: dict[str, object] = {
            "type": "object",
            "description": _about(kind),
            "properties": {name: field for name, _, field in fields},
            "additionalProperties": False,
        }
        required = [name for name, needed, _ in fields if needed]
        if required:
            schema["required"] = required
        return schema


def camel_case(name: str) -> str:
    """``token.delta`` as ``TokenDelta``."""
    return "".join(part.capitalize() for part in name.replace(".", "_").replace("-", "_").split("_"))


def _bounded(schema: Mapping[str, Any], bounds: Mapping[str, Any]) -> dict[str, Any]:
    """Both together. What is said of a list's texts holds for its texts only."""
    own = {**schema, **bounds}
    if "items" in bounds:
        item = schema["items"]
        own["items"] = {**item, **bounds["items"]} if item == {"type": "string"} else item
    return own


def _about(kind: Any) -> str:
    """The class's docstring as plain text."""
    return " ".join((kind.__doc__ or "").replace("``", "`").split())


def _hints(kind: Any, args: tuple[Any, ...]) -> Iterator[tuple["attrs.Attribute[Any]", Any]]:
    """Fields with their types, type variables filled in."""
    hints = typing.get_type_hints(kind)
    variables = dict(zip(getattr(kind, "__parameters__", ()), args, strict=False))
    for field in attrs.fields(kind):
        yield field, _substituted(hints[field.name], variables)


def _substituted(hint: Any, variables: Mapping[Any, Any]) -> Any:
    if hint in variables:
        return variables[hint]
    args = typing.get_args(hint)
    if args and any(arg in variables for arg in args):
        return typing.get_origin(hint)[tuple(variables.get(arg, arg) for arg in args)]
    return hint


def _is_list(origin: Any) -> bool:
    return origin in (list, tuple, Sequence, frozenset)


def _is_map(kind: Any) -> bool:
    return kind in (dict, Mapping)
