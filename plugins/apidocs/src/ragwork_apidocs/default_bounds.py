"""What a field of a body or a query takes when nothing is declared: the server measures it, so clients are told."""

import typing
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
from ragwork_hooks.fields import INT_RANGE, JSON_BYTES, MAX_ITEMS, MAX_JSON, MAX_TEXT
from ragwork_hooks.http import AnyRoute

#: Texts that something else bounds.
_BOUNDED: Final = frozenset(("enum", "format", "contentMediaType", "maxLength"))


def taken_only(routes: Sequence[AnyRoute]) -> frozenset[type]:
    """Classes that only come in. One that also goes out is described as it goes out."""
    taken: set[type] = set()
    given: set[type] = set()
    for route in routes:
        events = route.events
        # A body with a shape is taken as it is: the plugin itself measures it.
        _collect([route.query, None if route.body_shape else route.body], taken)
        _collect([route.response, route.error_format and route.error_format.failure_type], given)
        _collect([events.fields, *events.data.values()] if events else [], given)
    return frozenset(taken - given)


def with_defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    """``schema`` of a field with the bounds that hold where it declares none."""
    if "anyOf" in schema:
        return {**schema, "anyOf": [with_defaults(option) for option in schema["anyOf"]]}
    return {**schema, **{word: bound for word, bound in _defaults(schema).items() if word not in schema}}


def _defaults(schema: Mapping[str, Any]) -> Mapping[str, object]:
    match schema.get("type"):
        case "string" if not _BOUNDED & schema.keys():
            return {"maxLength": MAX_TEXT}
        case "integer":
            return dict(zip(("minimum", "maximum"), INT_RANGE, strict=True))
        case "object":
            return {JSON_BYTES: MAX_JSON}
        case "array":
            item = schema["items"]
            free = not item or item.get("type") == "object"
            return {"maxItems": MAX_ITEMS, **({JSON_BYTES: MAX_JSON} if free else {})}
    return {}


def _collect(kinds: Sequence[Any], found: set[type]) -> None:
    for kind in kinds:
        origin = typing.get_origin(kind) or kind
        if attrs.has(origin) and origin not in found:
            found.add(origin)
            _collect(list(typing.get_type_hints(origin).values()), found)
        _collect(typing.get_args(kind), found)
