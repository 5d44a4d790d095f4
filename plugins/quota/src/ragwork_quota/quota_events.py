"""What others are told of a tenant's quota: durable events, and the audit log where there is one."""

from collections.abc import Mapping
from typing import Final

from ragwork_hooks.audit import AuditEvent, AuditLog
from ragwork_hooks.events import Event, Events
from ragwork_hooks.storage import Transaction

SOFT_CAP: Final = "quota.soft_cap_reached"
HARD_CAP: Final = "quota.hard_cap_blocked"
OVERAGE: Final = "quota.overage_observed"
USAGE: Final = "billing.usage_recorded"
#: One lane for all: a tenant's receivers see them in the order in which they happened.
_KEY: Final = "quota"


class QuotaEvents:
    """Publishes and records inside the transaction of what happened."""

    def __init__(self, events: Events, audit: AuditLog | None) -> None:
        self._events = events
        self._audit = audit

    async def publish(self, tx: Transaction, kind: str, facts: Mapping[str, object]) -> None:
        """To the sinks alone, for what the kernel records itself."""
        await self._events.publish(tx, Event(type=kind, key=_KEY, payload=facts))

    async def announce(self, tx: Transaction, kind: str, facts: Mapping[str, object]) -> None:
        """To the sinks and the audit log."""
        await self.publish(tx, kind, facts)
        if self._audit is not None:
            event = AuditEvent(
                type=kind,
                outcome="success",
                actor_type="system",
                resource_type="quota",
                resource_id=tx.tenant_id,
                metadata=facts,
            )
            await self._audit.append(tx, event)
