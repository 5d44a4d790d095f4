"""OpenAPI 3.1 from the route declarations, and nothing else."""

import types
import typing
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import attrs
from ragwork_hooks.errors import STATUS_OF
from ragwork_hooks.fields import SCHEMA
from ragwork_hooks.http import AnyRoute, NoFields, Upload

from ragwork_kernel import codec

_PRIMITIVES: Mapping[Any, dict[str, object]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
    Upload: {"type": "string", "contentMediaType": "application/octet-stream"},
    Any: {},
    object: {},
}
#: What the pipeline itself can answer on every route that is not public.
_COMMON = ("AUTH_UNAUTHORIZED", "AUTH_FORBIDDEN", "SERVICE_UNAVAILABLE", "INTERNAL_ERROR")


def document(routes: Sequence[AnyRoute], title: str, version: str) -> dict[str, object]:
    """The OpenAPI document of ``routes``."""
    schemas = _Schemas()
    paths: dict[str, dict[str, object]] = {}
    for route in sorted(routes, key=lambda r: (r.path, r.method)):
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version,
            "description": "Every JSON answer is enveloped: {data, meta} or {error, meta}.",
        },
        "servers": [{"url": "/"}],
        "security": [{"BearerAuth": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"BearerAuth": {"type": "http", "scheme": "bearer"}},
            "schemas": {**_SHARED, **schemas.found},
        },
    }


def _operation(route: AnyRoute, schemas: "_Schemas") -> dict[str, object]:
    operation: dict[str, object] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.name.partition(".")[0]],
        "parameters": _parameters(route, schemas),
        "responses": _responses(route, schemas),
        "x-rate-class": route.rate_class,
        "x-idempotency": route.idempotency,
    }
    if route.action is not None:
        operation["x-role"] = route.action.role.label
    if route.scope == "public":
        operation["security"] = []
    if route.body_kind != "none":
        operation["requestBody"] = {
            "required": route.body_kind != "optional_json",
            "content": {media: {"schema": schemas.of(route.body)} for media in _body_types(route)},
        }
    return operation


def _body_types(route: AnyRoute) -> tuple[str, ...]:
    if route.body_kind == "multipart":
        return ("multipart/form-data",)
    if route.body_kind == "form":
        return ("application/x-www-form-urlencoded",)
    dialect = () if route.dialect is None else (route.dialect.media_type,)
    return tuple(dict.fromkeys(("application/json", *dialect)))


def _parameters(route: AnyRoute, schemas: "_Schemas") -> list[dict[str, object]]:
    found: list[dict[str, object]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
        }
        for name in path_parameters(route.path)
    ]
    if route.query not in (NoFields, dict):
        hints = typing.get_type_hints(route.query)
        found += [
            {
                "name": codec.wire_name(field.name),
                "in": "query",
                "required": field.default is attrs.NOTHING,
                "schema": schemas.field(field, hints[field.name]),
            }
            for field in attrs.fields(route.query)
        ]
    return found


def path_parameters(path: str) -> list[str]:
    """Names in braces, in order."""
    return [piece.partition("}")[0] for piece in path.split("{")[1:]]


def _responses(route: AnyRoute, schemas: "_Schemas") -> dict[str, object]:
    responses: dict[str, object] = {str(route.status): _success(route, schemas)}
    codes = [*route.errors, *(() if route.scope == "public" else _COMMON)]
    if route.body_kind != "none" or route.query is not NoFields:
        codes += ["REQUEST_VALIDATION_ERROR"]
    if route.body_kind != "none":
        codes += ["BAD_REQUEST", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"]
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(STATUS_OF[code], []).append(code)
    for status, names in sorted(by_status.items()):
        error: dict[str, object] = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        if route.dialect is not None:
            error[route.dialect.media_type] = {"schema": {"type": "object"}}
        responses[str(status)] = {"description": ", ".join(names), "content": error}
    return responses


def _success(route: AnyRoute, schemas: "_Schemas") -> dict[str, object]:
    if route.media_type != "application/json":
        media: dict[str, object] = {route.media_type: {"schema": {"type": "string"}}}
        if route.response is not None:
            media["application/json"] = {"schema": schemas.envelope(route.response)}
        return {"description": route.summary, "content": media}
    if route.response is None:
        return {"description": route.summary}
    content: dict[str, object] = {"application/json": {"schema": schemas.envelope(route.response)}}
    if route.dialect is not None:
        content[route.dialect.media_type] = {"schema": schemas.of(route.response)}
    return {"description": route.summary, "content": content}


class _Schemas:
    """JSON Schemas of attrs classes, collected under their names."""

    def __init__(self) -> None:
        self.found: dict[str, object] = {}
        self._names: dict[Any, str] = {}

    def envelope(self, data: Any) -> dict[str, object]:
        return {
            "type": "object",
            "required": ["data", "meta"],
            "properties": {"data": self.of(data), "meta": {"$ref": "#/components/schemas/Meta"}},
        }

    def of(self, kind: Any) -> dict[str, object]:
        if kind in _PRIMITIVES:
            return dict(_PRIMITIVES[kind])
        origin, args = typing.get_origin(kind), typing.get_args(kind)
        if origin is Literal:
            return {"enum": list(args)}
        if origin in (list, tuple, Sequence, frozenset) or str(origin).endswith("Sequence'>"):
            return {"type": "array", "items": self.of(args[0])}
        if origin in (dict, Mapping) or kind in (dict, Mapping) or "Mapping" in str(origin):
            return {"type": "object", **({"additionalProperties": self.of(args[1])} if args else {})}
        if origin is types.UnionType or origin is typing.Union:
            return {"anyOf": [self._option(option) for option in args]}
        return self._reference(origin or kind, args)

    def field(self, field: "attrs.Attribute[Any]", kind: Any) -> dict[str, object]:
        schema = self.of(kind)
        bounds: Mapping[str, object] = field.metadata.get(SCHEMA, {})
        options = schema.get("anyOf")
        if isinstance(options, list) and bounds:
            schema = {"anyOf": [o if o == {"type": "null"} else {**o, **bounds} for o in options]}
        else:
            schema = {**schema, **bounds}
        if isinstance(field.default, str | int | float | bool):
            schema["default"] = field.default
        return schema

    def _option(self, option: Any) -> dict[str, object]:
        return {"type": "null"} if option is types.NoneType else self.of(option)

    def _reference(self, kind: Any, args: tuple[Any, ...]) -> dict[str, object]:
        name = self._names.get((kind, args))
        if name is None:
            name = self._names[kind, args] = self._free_name(kind, args)
            self.found[name] = {}
            self.found[name] = self._class(kind, args)
        return {"$ref": f"#/components/schemas/{name}"}

    def _free_name(self, kind: Any, args: tuple[Any, ...]) -> str:
        """The class's own name; a number tells classes of one name in two plugins apart."""
        base: str = kind.__name__ + "".join(getattr(arg, "__name__", "") for arg in args)
        name, number = base, 2
        while name in self.found or name in _SHARED:
            name, number = f"{base}{number}", number + 1
        return name

    def _class(self, kind: Any, args: tuple[Any, ...]) -> dict[str, object]:
        hints = typing.get_type_hints(kind)
        variables = dict(zip(getattr(kind, "__parameters__", ()), args, strict=False))
        properties = {
            f.name: self.field(f, _substituted(hints[f.name], variables)) for f in attrs.fields(kind)
        }
        required = [f.name for f in attrs.fields(kind) if f.default is attrs.NOTHING]
        schema: dict[str, object] = {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
        }
        if required:
            schema["required"] = required
        return schema


def _substituted(hint: Any, variables: Mapping[Any, Any]) -> Any:
    if hint in variables:
        return variables[hint]
    args = typing.get_args(hint)
    if args and any(arg in variables for arg in args):
        return typing.get_origin(hint)[tuple(variables.get(arg, arg) for arg in args)]
    return hint


_SHARED: Mapping[str, object] = {
    "Meta": {
        "type": "object",
        "required": ["request_id", "api_version"],
        "properties": {
            "request_id": {"type": "string"},
            "api_version": {"const": "v1"},
        },
    },
    "Error": {
        "type": "object",
        "required": ["error", "meta"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                    "details": {"type": "object"},
                },
            },
            "meta": {"$ref": "#/components/schemas/Meta"},
        },
    },
}
