"""The self-serve route that sends a test message."""

import uuid

import attrs
from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.errors import Problem, ProviderError
from ragwork_hooks.http import AnyRoute, Empty, Request
from ragwork_hooks.services import Services
from ragwork_toolkit.routes import untransacted_route

from ragwork_billing.config import WebhookTarget
from ragwork_billing.delivery import TESTED, DeliveryAudit
from ragwork_billing.webhook import Webhook, WebhookMessage, WebhookRefused


@attrs.frozen(kw_only=True)
class BillingWebhookTestResponse:
    """How a trial delivery went."""

    #: Whether an answer came. Example: true
    sent: bool
    #: Its HTTP status; null without an answer. Example: 200
    status_code: int | None
    #: The delivery's id, as in its headers. Example: "b6d1c9d2-7f0e-4a39-9f57-6a6a3f2b1a10"
    delivery_id: str
    #: What happened, for people. Example: "delivered"
    message: str


class WebhookTest:
    """Handler and declaration of ``/v1/self-serve/billing/webhook-test``."""

    def __init__(
        self, services: Services, target: WebhookTarget | None, delivery_audit: DeliveryAudit
    ) -> None:
        self._services = services
        self._webhook = None if target is None else Webhook(services.egress, target)
        self._delivery_audit = delivery_audit

    def routes(self) -> tuple[AnyRoute, ...]:
        return (
            # A network call is no part of a transaction.
            untransacted_route(
                name="billing.webhook_test",
                method="POST",
                path="/v1/self-serve/billing/webhook-test",
                summary="Send a test message to the billing webhook and show what became of it",
                handler=self.send,
                action=Action(name="billing.test", role=Role.ADMIN),
                rate_class="mutation",
                audit_event="selfserve.billing_webhook_tested",
                feature="billing_webhook_test",
                response=BillingWebhookTestResponse,
                errors=("BILLING_WEBHOOK_NOT_CONFIGURED", "FEATURE_NOT_ENABLED"),
                legacy=True,
            ),
        )

    async def send(self, request: Request[Empty, Empty]) -> BillingWebhookTestResponse:
        if self._webhook is None:
            raise Problem(
                "BILLING_WEBHOOK_NOT_CONFIGURED",
                "the operator has not configured a billing webhook with address and secret",
            )
        tenant_id = request.principal.tenant_id
        message = WebhookMessage(
            delivery_id=f"test_{uuid.uuid4().hex}", tenant_id=tenant_id, event_type=TESTED, payload={}
        )
        try:
            status = await self._webhook.send(message)
        except ProviderError as error:
            await self._delivery_audit.failed(tenant_id, message.delivery_id, TESTED, error)
            refused = error if isinstance(error, WebhookRefused) else None
            return BillingWebhookTestResponse(
                sent=False,
                status_code=refused.status if refused else None,
                delivery_id=message.delivery_id,
                # Other failures name the operator's host, which is no business of a tenant's.
                message=refused.message if refused else "the billing receiver could not be reached",
            )
        await self._delivery_audit.tested(tenant_id, message.delivery_id, status)
        return BillingWebhookTestResponse(
            sent=True,
            status_code=status,
            delivery_id=message.delivery_id,
            message="the receiver took the test message",
        )
