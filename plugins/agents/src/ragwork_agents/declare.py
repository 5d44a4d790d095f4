"""Declarations that the routes of agent identity share."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, TypeVar

import attrs
from ragwork_hooks.audit import AuditNote, Origin
from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.fields import number
from ragwork_hooks.http import AnyRoute, Call, Dialect, File, NoFields, Reply, Route, Scheme

from ragwork_agents.dialects import Oculus

B = TypeVar("B")
Q = TypeVar("Q")
OCULUS: Final = Oculus()
#: How a client may authenticate beside the fields of its form (RFC 6749 §2.3.1).
CLIENT_BASIC: Final = Scheme(
    name="ClientBasic",
    fields={"type": "http", "scheme": "basic", "description": "An agent's `client_id` and `client_secret`."},
)
Kind = Literal["none", "json", "optional_json", "form"]
_LONGEST_AGENT: Final = 256


@attrs.frozen(kw_only=True)
class PageQuery:
    """A window of a list."""

    #: How many entries at most.
    limit: int = number(default=50, ge=1, le=200)
    #: How many entries to skip.
    offset: int = number(default=0, ge=0, le=1_000_000)


def public(
    name: str,
    method: Literal["GET", "POST"],
    path: str,
    summary: str,
    handler: Callable[[Call[Any, Any]], Awaitable[object]],
    response: Any,
    dialect: Dialect,
    body: Any = NoFields,
    kind: Kind = "none",
    security: tuple[Scheme, ...] = (),
    query: Any = NoFields,
) -> AnyRoute:
    """A route whose handler authenticates for itself, or that anybody may read."""
    return Route(
        name=name,
        method=method,
        path=path,
        summary=summary,
        handler=handler,
        scope="public",
        action=None,
        rate_class="public",
        idempotency="none",
        audit_event=None,
        feature=None,
        stale_reads=False,
        transaction="none",
        response=response,
        body=body,
        body_kind=kind,
        query=query,
        dialect=dialect,
        security=security,
    )


def reads(
    name: str,
    path: str,
    summary: str,
    handler: Callable[[Call[Any, Any]], Awaitable[object]],
    response: Any,
    *,
    kind: str,
    query: Any = NoFields,
    role: Role = Role.ADMIN,
) -> AnyRoute:
    """A GET within the tenant, for administrators unless said otherwise."""
    return Route(
        name=name,
        method="GET",
        path=path,
        summary=summary,
        handler=handler,
        scope="tenant",
        action=Action(name=kind, role=role),
        rate_class="read",
        idempotency="none",
        audit_event=None,
        feature=None,
        stale_reads=False,
        transaction="read",
        response=response,
        query=query,
        dialect=OCULUS,
    )


def writes(
    name: str,
    method: Literal["POST", "PATCH", "PUT", "DELETE"],
    path: str,
    summary: str,
    handler: Callable[[Call[Any, Any]], Awaitable[object]],
    response: Any,
    *,
    kind: str,
    event: str,
    body: Any = NoFields,
    body_kind: Kind | None = None,
    query: Any = NoFields,
    status: int = 200,
    role: Role = Role.ADMIN,
    makes_credential: bool = False,
) -> AnyRoute:
    """A mutation within the tenant, in one transaction with its audit record."""
    return Route(
        name=name,
        method=method,
        path=path,
        summary=summary,
        handler=handler,
        scope="tenant",
        action=Action(name=kind, role=role, makes_credential=makes_credential),
        rate_class="mutation",
        idempotency="accepted",
        audit_event=event,
        feature=None,
        stale_reads=False,
        transaction="write",
        response=response,
        body=body,
        body_kind=body_kind or ("none" if body is NoFields else "json"),
        query=query,
        status=status,
        dialect=OCULUS,
    )


def noted(data: object, kind: str, identifier: str, *, replay: object = None, **metadata: object) -> Reply:
    """An answer whose audit record names what was acted on. ``replay`` stands in for a shown secret."""
    note = AuditNote(resource_type=kind, resource_id=identifier, metadata=metadata)
    return Reply(data=data, audit=note, replay=replay)


def origin(call: Call[Any, Any]) -> Origin:
    """The request behind what the handler records for itself."""
    return Origin(
        request_id=call.request_id,
        echo_id=call.echo_id,
        peer=call.peer,
        user_agent=(call.headers.get("User-Agent") or "")[:_LONGEST_AGENT],
    )


def conditional(call: Call[Any, Any], document: bytes, etag: str, max_age_s: int) -> File:
    """``document``, or 304 for who has it."""
    headers = {"ETag": etag, "Cache-Control": f"public, max-age={max_age_s}"}
    asked = call.headers.get("If-None-Match") or ""
    held = {tag.strip().removeprefix("W/") for tag in asked.split(",")}
    if etag in held or "*" in held:
        return File(data=b"", mime="application/json", status=304, headers=headers)
    return File(data=document, mime="application/json", headers=headers)
