"""What happened, by whom, for good: the record that mutations and denials leave."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Protocol

import attrs

from ragwork_hooks.storage import Transaction

#: The log of what belongs to no tenant, such as a refusal of an unknown credential.
PLATFORM_TENANT = "ragwork.platform"


@attrs.frozen(kw_only=True)
class AuditDetails:
    """What a handler adds to its route's record. ``event`` replaces the route's. Values are ids, counts and
    names; what looks like a secret or content is redacted.
    """

    event: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    metadata: Mapping[str, object] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Origin:
    """The request behind a record: ids, address and agent as the server saw them."""

    request_id: str
    echo_id: str
    peer: str
    user_agent: str


@attrs.frozen(kw_only=True)
class AuditEvent:
    """One record. ``actor_type`` is of the contract's taxonomy (``api_key`` … ``system``, ``anonymous``)."""

    type: str
    outcome: Literal["success", "failure"]
    actor_type: str
    actor_id: str | None = None
    actor_role: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    metadata: Mapping[str, object] = attrs.field(factory=dict)
    error_code: str | None = None
    origin: Origin | None = None


@attrs.frozen(kw_only=True)
class EventCount:
    """How often something was recorded, repeats that were summed up included."""

    count: int
    last_at: datetime | None


class AuditLog(Protocol):
    """Capability: the tamper-evident log of each tenant."""

    async def append(self, tx: Transaction, event: AuditEvent) -> None:
        """Record in the log of the transaction's tenant; it exists if and only if ``tx`` commits. One round
        trip. A raise must fail the transaction.
        """

    def takes(self, tenant_id: str, event: AuditEvent) -> bool:
        """Whether to record this refusal now. Floods of anonymous and rate-limited refusals are summed up:
        the next record that is taken counts what was passed over.
        """

    async def tally(self, tx: Transaction, event_type: str, since: datetime) -> EventCount:
        """Count records of the transaction's tenant. One round trip."""
