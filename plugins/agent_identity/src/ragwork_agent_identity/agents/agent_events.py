"""Audit records of what happened to an agent."""

from collections.abc import Mapping
from typing import Literal

from ragwork_hooks.audit import AuditEvent, Origin


def agent_event(
    name: str,
    agent_id: str,
    origin: Origin,
    *,
    actor_id: str | None = None,
    outcome: Literal["success", "failure"] = "success",
    metadata: Mapping[str, object] | None = None,
) -> AuditEvent:
    """By the agent itself, unless another agent, ``actor_id``, did it."""
    return AuditEvent(
        type=name,
        outcome=outcome,
        actor_type="agent",
        actor_id=actor_id or agent_id,
        resource_type="agent",
        resource_id=agent_id,
        metadata=metadata or {},
        origin=origin,
    )
