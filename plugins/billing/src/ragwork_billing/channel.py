"""The webhook as a notification channel, so that what guards channels guards it too."""

from ragwork_hooks.errors import ConfigError
from ragwork_hooks.notification import Destination, Notification
from ragwork_hooks.providers import Provider, ProviderContext

from ragwork_billing.config import BillingConfig
from ragwork_billing.webhook import Webhook, WebhookMessage

NAME = "billing_webhook"


class BillingChannel:
    """Implements ``ragwork_hooks.notification.Channel``. The receiver is the operator's, whoever the tenant."""

    name = NAME

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook

    async def deliver(self, destination: Destination, delivery_id: str, notice: Notification) -> None:
        await self._webhook.send(
            WebhookMessage(
                delivery_id=delivery_id,
                tenant_id=destination.tenant_id,
                event_type=notice.type,
                payload=notice.data,
            )
        )


async def _open(context: ProviderContext[BillingConfig]) -> BillingChannel:
    target = context.config.target
    if target is None:
        raise ConfigError(
            "BILLING_WEBHOOK_ENABLED",
            "the billing webhook is not configured",
            "set it with BILLING_WEBHOOK_URL and BILLING_WEBHOOK_SECRET",
        )
    return BillingChannel(Webhook(context.services.egress, target))


provider = Provider(name=NAME, open=_open)
