"""The fixed parts of the API's description: components, the introduction, and what an operation asks for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs
from ragwork_hooks.http import AnyRoute

BEARER: Final = "BearerAuth"
REQUEST_ID: Final = "72c03e54-1d1c-4d06-9e19-0f607e817820"
_META: Final = {"request_id": REQUEST_ID, "api_version": "v1"}

SECURITY_SCHEMES: Final[Mapping[str, object]] = {
    BEARER: {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, a session from single sign-on, or an agent's access token.",
    }
}

PARAMETERS: Final[Mapping[str, object]] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "A key of your choice: the same request under the same key takes effect once and is answered "
        "alike; another request under it answers 409.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 128},
        "example": "order-4711",
    }
}


def header(about: str) -> dict[str, object]:
    """A component for an answer's header."""
    return {"description": about, "schema": {"type": "string"}}


HEADERS: Final[Mapping[str, object]] = {
    "X-Request-Id": header("The request's id: yours if you sent a short and safe one, else made here."),
    "Retry-After": header("Seconds to wait before asking again; absent where nobody knows."),
    "WWW-Authenticate": header("How to authenticate."),
    "Idempotency-Replayed": header("`true` on the stored answer to a repeated key."),
}
HEADERS_OF: Final[Mapping[int, tuple[str, ...]]] = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
SCHEMAS: Final[Mapping[str, object]] = {
    "Meta": {
        "type": "object",
        "description": "What every enveloped answer says of itself.",
        "required": ["request_id", "api_version"],
        "properties": {
            "request_id": {
                "type": "string",
                "description": "The request's id, as in the header X-Request-Id.",
                "examples": [REQUEST_ID],
            },
            "api_version": {"type": "string", "const": "v1", "description": "The version of the API."},
        },
    },
    "ErrorBody": {
        "type": "object",
        "description": "Why a request was refused.",
        "required": ["code", "message"],
        "properties": {
            "code": {"type": "string", "description": "Stable, for programs.", "examples": ["NOT_FOUND"]},
            "message": {
                "type": "string",
                "description": "For people; it may change.",
                "examples": ["thing 'c9' does not exist"],
            },
            "details": {
                "type": "object",
                "description": "Facts that go with the code; absent when there are none. Validation errors stand "
                "in `errors`, each with its `loc`, `type` and `msg`.",
                "additionalProperties": True,
            },
        },
    },
    "Error": {
        "type": "object",
        "description": "A refusal.",
        "required": ["error", "meta"],
        "properties": {
            "error": {"$ref": "#/components/schemas/ErrorBody", "description": "What went wrong."},
            "meta": {"$ref": "#/components/schemas/Meta", "description": "Of this answer."},
        },
    },
}


def area_of(route: AnyRoute) -> str:
    """The area that a route's name starts with."""
    return route.name.partition(".")[0]


def idempotency_key(*, required: bool) -> dict[str, object]:
    """The parameter of routes that take a key."""
    if not required:
        return {"$ref": "#/components/parameters/IdempotencyKey"}
    shared: Any = PARAMETERS["IdempotencyKey"]
    return {**shared, "required": True}


def headers(names: Iterable[str]) -> dict[str, object]:
    """References to header components; the request's id stands on every answer."""
    return {
        name: {"$ref": f"#/components/headers/{name}"} for name in dict.fromkeys(("X-Request-Id", *names))
    }


def enveloped(data: object) -> dict[str, object]:
    """The schema of ``{data, meta}``."""
    return {
        "type": "object",
        "required": ["data", "meta"],
        "properties": {"data": data, "meta": {"$ref": "#/components/schemas/Meta"}},
    }


def enveloped_example(data: object) -> object:
    """An answer that shows ``data``; nothing where there is nothing to show."""
    return data if data is attrs.NOTHING else {"data": data, "meta": _META}


def introduction(routes: Sequence[AnyRoute]) -> str:
    """What holds for every operation, and where it does not."""
    bare = dict.fromkeys(area_of(route) for route in routes if route.error_format is not None)
    where = f" Bare, each in the words of its own standard, answer {', '.join(bare)}." if bare else ""
    return (
        "Send your key as `Authorization: Bearer <key>`; the tenant follows from it and is never named in a body. "
        "JSON answers are enveloped: `{data, meta}`, or `{error, meta}` with a stable `error.code`."
        f"{where} Files and event streams have no envelope. Every answer carries `X-Request-Id`. "
        "A field that is not described here is refused in a body, and may be added to an answer at any time. "
        "Times are ISO 8601 with an offset. "
        "After 429 and 503 wait as `Retry-After` says."
    )


def conditions(route: AnyRoute) -> str:
    """Who may call an operation, and what else its caller should know."""
    said = []
    if route.action is None:
        said.append("Open to everybody." if not route.security else "The credential is the client's own.")
    else:
        said.append(f"For role {route.action.role.label} and above.")
    if route.scope == "platform":
        said.append("Needs platform scope.")
    if isinstance(route.feature, str):
        said.append(f"Part of plans with feature `{route.feature}`.")
    if route.idempotency == "required":
        said.append("Needs an Idempotency-Key.")
    if route.legacy:
        said.append(f"Also at `{route.path.removeprefix('/v1')}`, deprecated.")
    return " ".join(said)
