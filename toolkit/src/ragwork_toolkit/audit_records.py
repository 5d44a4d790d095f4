"""Audit records that a plugin writes beside those of its routes (agent identity, api keys, operations, SCIM, SSO)."""

from typing import Any, Final

from ragwork_hooks.audit import AuditDetails, AuditEvent, Origin
from ragwork_hooks.auth import Principal
from ragwork_hooks.http import Request

_LONGEST_AGENT: Final = 256


def origin_of(request: Request[Any, Any]) -> Origin:
    """The request behind what its handler records for itself; of the client's name the first 256 characters."""
    return Origin(
        request_id=request.request_id,
        echo_id=request.echo_id,
        peer=request.peer,
        user_agent=(request.headers.get("User-Agent") or "")[:_LONGEST_AGENT],
    )


def success_of(
    actor: Principal, event: str, details: AuditDetails, origin: Origin | None = None
) -> AuditEvent:
    """The record of an ``event`` that ``actor`` brought about with their credential."""
    return AuditEvent(
        type=event,
        outcome="success",
        actor_type=actor.kind,
        actor_id=actor.credential_id,
        actor_role=actor.role.label,
        resource_type=details.resource_type,
        resource_id=details.resource_id,
        metadata=details.metadata,
        origin=origin,
    )
