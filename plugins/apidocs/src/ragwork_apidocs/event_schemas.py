"""Event streams in the API's description: one schema per type of event, and their union."""

from typing import Final

import attrs
from ragwork_hooks.http import EventTypes

from ragwork_apidocs.json_schemas import Schemas, camel_case


@attrs.frozen(kw_only=True)
class StreamError:
    """Why a stream ended early."""

    #: Stable, for programs. Example: "INTEGRATION_UNAVAILABLE"
    code: str
    #: For people; it may change. Example: "the run took longer than this server allows"
    message: str


@attrs.frozen(kw_only=True)
class StreamDone:
    """Nothing: the stream is over."""


#: What the kernel itself adds to every stream.
_KERNEL: Final = {"error": StreamError, "done": StreamDone}
_SEQ: Final = {
    "type": "integer",
    "minimum": 1,
    "description": "1, 2, 3 …: the number of the event, the same as its `id:` line.",
    "examples": [1],
}
_REQUEST_ID: Final = {"type": "string", "description": "The request's id, as in the header X-Request-Id."}


def union(schemas: Schemas, name: str, events: EventTypes) -> dict[str, object]:
    """A reference to the component ``name``: any payload of a stream's ``data:`` lines."""
    mapping = {
        kind: _payload(schemas, kind, data, events) for kind, data in {**events.data, **_KERNEL}.items()
    }
    schemas.found[name] = {
        "description": "The JSON of an event's `data:` line, told apart by `type`.",
        "oneOf": [{"$ref": reference} for reference in mapping.values()],
        "discriminator": {"propertyName": "type", "mapping": mapping},
    }
    schemas.found["Heartbeat"] = _heartbeat()
    return {
        "description": "Server-sent events. Clients that take no events of a kind they don't know go on.",
        "anyOf": [{"$ref": f"#/components/schemas/{name}"}, {"$ref": "#/components/schemas/Heartbeat"}],
    }


def _payload(schemas: Schemas, kind: str, data: type, events: EventTypes) -> str:
    shared = list(schemas.fields(events.fields))
    line = kind if kind in events.named else "message"
    component = f"{camel_case(kind)}Event"
    schemas.found[component] = {
        "type": "object",
        "description": f"An event of type `{kind}`; its `event:` line says `{line}`.",
        "required": ["type", "request_id", *(name for name, _, _ in shared), "data", "seq"],
        "properties": {
            "type": {"type": "string", "const": kind, "description": "What happened."},
            "request_id": _REQUEST_ID,
            **{field: schema for field, _, schema in shared},
            "data": {**schemas.of(data), "description": "What goes with it."},
            "seq": _SEQ,
        },
    }
    return f"#/components/schemas/{component}"


def _heartbeat() -> dict[str, object]:
    return {
        "type": "object",
        "description": "Sent while nothing else happens; its `event:` line says `heartbeat`, and it has no `type`.",
        "required": ["ts", "request_id", "seq"],
        "properties": {
            "ts": {"type": "string", "format": "date-time", "description": "When it was sent."},
            "request_id": _REQUEST_ID,
            "seq": _SEQ,
        },
    }
