"""Durable billing events on their way to the receiver; the outbox keeps their order and tries again."""

from typing import Final

from ragwork_hooks.audit import AuditEvent, AuditLog
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.events import Delivery
from ragwork_hooks.jobs import PermanentFailure
from ragwork_hooks.notification import Destination, Notification
from ragwork_hooks.provider_kinds import NOTIFICATION
from ragwork_hooks.services import Services

from ragwork_billing.channel import NAME

FAILURE: Final = "billing.webhook.failure"
TESTED: Final = "billing.webhook.test"


class BillingSink:
    """Implements ``ragwork_hooks.events.Sink``."""

    name = "billing.webhook"
    types: tuple[str, ...] = (
        "quota.soft_cap_reached",
        "quota.hard_cap_blocked",
        "quota.overage_observed",
        "billing.usage_recorded",
        "billing.upgrade_requested",
    )

    def __init__(self, services: Services, url: str, delivery_audit: "DeliveryAudit") -> None:
        self._services = services
        self._url = url
        self._delivery_audit = delivery_audit

    async def deliver(self, delivery: Delivery) -> None:
        """Raises ``PermanentFailure`` when trying again is pointless, else what the channel raises."""
        channel = await self._services.providers.open(NOTIFICATION, NAME)
        destination = Destination(id=NAME, tenant_id=delivery.tenant_id, url=self._url)
        notice = Notification(type=delivery.event.type, data=delivery.event.payload)
        try:
            await channel.deliver(destination, delivery_id(delivery.id), notice)
        except ProviderError as error:
            if delivery.attempt == 1:
                await self._delivery_audit.failed(
                    delivery.tenant_id, delivery_id(delivery.id), delivery.event.type, error
                )
            if error.retryable:
                raise
            raise PermanentFailure(str(error)) from error


class DeliveryAudit:
    """Leaves records of deliveries in the tenant's audit log, where there is one."""

    def __init__(self, services: Services, audit: AuditLog | None) -> None:
        self._services = services
        self._audit = audit

    async def failed(self, tenant_id: str, delivery_id: str, event_type: str, error: ProviderError) -> None:
        """One record for the first failure of a delivery; the dead letter has the last one's reason."""
        event = AuditEvent(
            type=FAILURE,
            outcome="failure",
            actor_type="system",
            resource_type="billing_webhook",
            resource_id=delivery_id,
            metadata={"event_type": event_type, "retryable": error.retryable},
            error_code=error.code,
        )
        await self._append(tenant_id, event)

    async def tested(self, tenant_id: str, delivery_id: str, status: int) -> None:
        """A test message was taken."""
        event = AuditEvent(
            type=TESTED,
            outcome="success",
            actor_type="system",
            resource_type="billing_webhook",
            resource_id=delivery_id,
            metadata={"status_code": status},
        )
        await self._append(tenant_id, event)

    async def _append(self, tenant_id: str, event: AuditEvent) -> None:
        if self._audit is not None:
            async with self._services.db.tenant(tenant_id) as tx:
                await self._audit.append(tx, event)


def delivery_id(outbox_id: int) -> str:
    """The id that the receiver sees: the outbox's, which stays over attempts."""
    return f"evt_{outbox_id}"
