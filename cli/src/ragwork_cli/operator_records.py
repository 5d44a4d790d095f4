"""Audit records of what an operator's command does."""

import pwd

import attrs
from ragwork_hooks.audit import AuditDetails, AuditEvent, AuditLog
from ragwork_hooks.storage import Transaction


def operator(uid: int) -> str:
    """The operating system's user ``uid``, as records name them. The environment's word does not count."""
    try:
        return f"operator:{pwd.getpwuid(uid).pw_name}"
    except KeyError:  # a container's user may have no name
        return f"operator:{uid}"


@attrs.frozen(kw_only=True)
class OperatorRecords:
    """Writes what a command does, as ``event`` unless a note names another; nothing without an audit log."""

    log: AuditLog | None
    event: str | None
    actor: str

    async def __call__(self, tx: Transaction, note: AuditDetails) -> None:
        name = note.event or self.event
        if name is None:
            raise LookupError("a command that changes something declares its audit_event")
        if self.log is None:
            return
        event = AuditEvent(
            type=name,
            outcome="success",
            actor_type="system",
            actor_id=self.actor,
            resource_type=note.resource_type,
            resource_id=note.resource_id,
            metadata=note.metadata,
        )
        await self.log.append(tx, event)
