"""OpenAPI 3.1 from the route declarations, the comments of their classes, and what gates say of themselves."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import attrs
from ragwork_hooks.admission import AdmissionGate, Wire
from ragwork_hooks.errors import STATUS_OF, Problem
from ragwork_hooks.http import AnyRoute, Area, Empty
from ragwork_hooks.services import Services

from ragwork_apidocs import openapi_parts as parts
from ragwork_apidocs.default_bounds import taken_only
from ragwork_apidocs.event_schemas import union
from ragwork_apidocs.json_schemas import Schemas, camel_case

#: What an authenticator may say.
_AUTHENTICATION: Final = tuple(
    c for c, status in STATUS_OF.items() if status == 401 and c.startswith("AUTH_")
)
_AUTHORIZATION: Final = ("AUTH_FORBIDDEN", "AUTHZ_DENIED")
_STREAM: Final = "text/event-stream"
_JSON: Final = "application/json"
#: An area that nobody declared stands last.
_LAST: Final = 1_000


def document_of(services: Services) -> dict[str, Any]:
    """The OpenAPI document of a whole assembly, once its boot has frozen it."""
    registry, title = services.registry, services.app_name.capitalize()
    return document(registry.routes, title, services.version, registry.areas, registry.admission_gates)


def document(
    routes: Sequence[AnyRoute],
    title: str,
    version: str,
    areas: Sequence[Area] = (),
    gates: Sequence[AdmissionGate] = (),
) -> dict[str, Any]:
    """The OpenAPI document of ``routes``, which come in the order in which their plugins were loaded."""
    made = _Document(areas, gates, taken_only(routes))
    operations = [(route, made.operation(route)) for route in routes]
    operations.sort(key=lambda pair: made.rank(pair[0]))
    paths: dict[str, dict[str, object]] = {}
    for route, operation in operations:
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    tags = list(dict.fromkeys(parts.area_of(route) for route, _ in operations))
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": parts.introduction(routes)},
        "servers": [{"url": "/"}],
        "security": [{parts.BEARER: []}],
        "tags": [made.tag(name) for name in tags],
        "paths": paths,
        "components": {
            "securitySchemes": {**parts.SECURITY_SCHEMES, **made.schemes},
            "parameters": parts.PARAMETERS,
            "headers": {**parts.HEADERS, **made.headers},
            "schemas": {**parts.SCHEMAS, **made.schemas.found},
        },
    }


def path_parameters(path: str) -> list[str]:
    """Names in braces, in order."""
    return [piece.partition("}")[0] for piece in path.split("{")[1:]]


class _Document:
    """Makes operations; collects the components that they refer to."""

    def __init__(
        self, areas: Sequence[Area], gates: Sequence[AdmissionGate], measured: frozenset[type]
    ) -> None:
        self.schemas = Schemas(parts.SCHEMAS, measured)
        self.schemes: dict[str, Mapping[str, str]] = {}
        self.headers: dict[str, object] = {}
        self._areas = {area.name: area for area in areas}
        self._gates = gates

    def rank(self, route: AnyRoute) -> tuple[object, ...]:
        """Where an operation stands: by area, path and method."""
        area = self._areas.get(parts.area_of(route))
        return area.rank if area else _LAST, parts.area_of(route), route.path, route.method

    def tag(self, name: str) -> dict[str, str]:
        area = self._areas.get(name)
        return {"name": name, **({"description": area.about} if area else {})}

    def operation(self, route: AnyRoute) -> dict[str, object]:
        operation: dict[str, object] = {
            "operationId": route.name.replace(".", "_"),
            "summary": route.summary,
            "description": parts.conditions(route),
            "tags": [parts.area_of(route)],
            "parameters": self._parameters(route),
            "responses": self._responses(route),
            "x-rate-class": route.rate_class,
            "x-idempotency": route.idempotency,
            "x-enveloped": route.error_format is None and route.response is not None,
        }
        if route.action is not None:
            operation["x-role"] = route.action.role.label
        security = self._security(route)
        if security is not None:
            operation["security"] = security
        if route.body_kind != "none":
            operation["requestBody"] = self._body(route)
        return operation

    def _security(self, route: AnyRoute) -> list[dict[str, list[str]]] | None:
        """``None`` where the document's own holds. A public route takes a credential only if it has one."""
        self.schemes |= {scheme.name: scheme.fields for scheme in route.security}
        named: list[dict[str, list[str]]] = [{scheme.name: []} for scheme in route.security]
        if route.scope == "public":
            return [*named, {}] if named else []
        # A header of its own carries the same keys as the bearer, which is taken there, too.
        beside = any(scheme.fields.get("type") == "apiKey" for scheme in route.security)
        return [{parts.BEARER: []}, *named] if beside else named or None

    def _body(self, route: AnyRoute) -> dict[str, object]:
        kind = route.body_shape or route.body
        content: dict[str, object] = {"schema": self.schemas.of(kind)}
        example = self.schemas.example(kind)
        if example is not attrs.NOTHING:
            content["example"] = example
        return {
            "required": route.body_kind != "optional_json",
            "content": dict.fromkeys(_body_types(route), content),
        }

    def _parameters(self, route: AnyRoute) -> list[dict[str, object]]:
        area = self._areas.get(parts.area_of(route))
        meanings: Mapping[str, str] = area.path if area else {}
        found: list[dict[str, object]] = []
        for name in path_parameters(route.path):
            about = {"description": meanings[name]} if name in meanings else {}
            shared = {"in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            found.append({"name": name, **about, **shared})
        if route.query not in (Empty, dict):
            for name, needed, schema in self.schemas.fields(route.query):
                said = {"description": schema.pop("description")} if "description" in schema else {}
                found.append({"name": name, "in": "query", "required": needed, **said, "schema": schema})
        if route.idempotency != "none":
            found.append(parts.idempotency_key(required=route.idempotency == "required"))
        return found

    def _responses(self, route: AnyRoute) -> dict[str, object]:
        wires = [gate.wire(route) for gate in self._gates]
        for wire in wires:
            said = {**wire.headers, **wire.refusal_headers}
            self.headers |= {name: parts.header(about) for name, about in said.items()}
        responses: dict[str, object] = {str(route.status): self._success(route, wires)}
        by_status: dict[int, list[str]] = {}
        for code in dict.fromkeys(_codes(route, wires)):
            by_status.setdefault(_status(route, code), []).append(code)
        for status, codes in sorted(by_status.items()):
            responses[str(status)] = self._failure(route, status, codes, wires)
        return responses

    def _success(self, route: AnyRoute, wires: Sequence[Wire]) -> dict[str, object]:
        names = [name for wire in wires for name in wire.headers]
        names += ["Idempotency-Replayed"] if route.idempotency != "none" else []
        answer: dict[str, object] = {"description": route.summary, "headers": parts.headers(names)}
        content = self._content(route)
        return {**answer, "content": content} if content else answer

    def _content(self, route: AnyRoute) -> dict[str, object]:
        content: dict[str, object] = {}
        if route.events is not None:
            name = f"{camel_case(route.name)}Event"
            content[_STREAM] = {"schema": union(self.schemas, name, route.events)}
        elif route.media_type != _JSON:
            content[route.media_type] = {"schema": {"type": "string"}}
        elif route.response is None and route.status != 204:
            content[_JSON] = {"schema": {"type": "object"}}
        if route.response is None:
            return content
        schema, example = self.schemas.of(route.response), self.schemas.example(route.response)
        if route.error_format is None:
            schema, example = parts.enveloped(schema), parts.enveloped_example(example)
        media = _JSON if route.error_format is None else route.error_format.media_type
        shown = {} if example is attrs.NOTHING else {"example": example}
        return {**content, media: {"schema": schema, **shown}}

    def _failure(
        self, route: AnyRoute, status: int, codes: Sequence[str], wires: Sequence[Wire]
    ) -> dict[str, object]:
        names = list(parts.HEADERS_OF.get(status, ()))
        for wire in wires:
            names += [*wire.headers, *wire.refusal_headers] if set(wire.codes) & set(codes) else []
        answer: dict[str, object] = {
            "headers": parts.headers(names),
            "x-codes": list(codes),
        }
        if route.error_format is None:
            shape: dict[str, object] = {"schema": {"$ref": "#/components/schemas/Error"}}
            return {"description": ", ".join(codes), **answer, "content": {_JSON: shape}}
        bodies = {c: route.error_format.failure(_problem(c), parts.REQUEST_ID)[1] for c in codes}
        shape = {
            "schema": self.schemas.of(route.error_format.failure_type),
            "examples": {code: {"value": body} for code, body in bodies.items()},
        }
        content = {route.error_format.media_type: shape}
        return {"description": HTTPStatus(status).phrase, **answer, "content": content}


def _body_types(route: AnyRoute) -> tuple[str, ...]:
    if route.body_kind == "multipart":
        return ("multipart/form-data",)
    if route.body_kind == "form":
        return ("application/x-www-form-urlencoded",)
    return (_JSON,) if route.error_format is None else route.error_format.body_types


def _codes(route: AnyRoute, wires: Sequence[Wire]) -> list[str]:
    """Every code that the route, its gates and the request path before it may refuse with."""
    codes = [*route.errors, "INTERNAL_ERROR", *(code for wire in wires for code in wire.codes)]
    if route.rate_class != "probe":
        codes += ["SERVICE_UNAVAILABLE"]
    if route.scope != "public":
        codes += [*_AUTHENTICATION, *_AUTHORIZATION]
    if route.body_kind != "none" or route.query not in (Empty, dict):
        codes += ["REQUEST_VALIDATION_ERROR"]
    if route.body_kind != "none":
        codes += ["BAD_REQUEST", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"]
    if route.body_kind != "none" and route.body is not dict:
        codes += ["TENANT_ID_NOT_ALLOWED"]
    if route.idempotency != "none":
        codes += ["IDEMPOTENCY_KEY_INVALID", "IDEMPOTENCY_KEY_CONFLICT"]
    if route.idempotency == "required":
        codes += ["IDEMPOTENCY_KEY_REQUIRED"]
    return codes


def _status(route: AnyRoute, code: str) -> int:
    """The status that a code answers with: the catalogue's, or the dialect's own."""
    if route.error_format is None:
        return STATUS_OF[code]
    return route.error_format.failure(_problem(code), parts.REQUEST_ID)[0]


def _problem(code: str) -> Problem:
    return Problem(code, HTTPStatus(STATUS_OF[code]).phrase)
