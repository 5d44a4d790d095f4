"""Settings of the billing webhook."""

import attrs
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.settings import http_url, setting


@attrs.frozen(kw_only=True)
class BillingConfig:
    """``BILLING_WEBHOOK_…``: where billing events go."""

    enabled: bool = setting("BILLING_WEBHOOK_ENABLED", False, "send billing events")
    url: str | None = setting("BILLING_WEBHOOK_URL", None, "the receiver's address", form=http_url)
    secret: str | None = setting("BILLING_WEBHOOK_SECRET", None, "key of the signature", secret=True)
    timeout_ms: int = setting(
        "BILLING_WEBHOOK_TIMEOUT_MS", 2000, "how long a send may take, in milliseconds", ge=1, le=8_000
    )

    @property
    def target(self) -> "WebhookTarget | None":
        """Where to and with what key; ``None`` while nothing is sent."""
        if not self.enabled or self.url is None or self.secret is None:
            return None
        return WebhookTarget(url=self.url, key=self.secret.encode(), timeout_s=self.timeout_ms / 1000)

    def __attrs_post_init__(self) -> None:
        for name, value in (("BILLING_WEBHOOK_URL", self.url), ("BILLING_WEBHOOK_SECRET", self.secret)):
            if self.enabled and value is None:
                raise ConfigError(
                    name, "is unset while billing webhooks are on", "set it, or BILLING_WEBHOOK_ENABLED=false"
                )


@attrs.frozen(kw_only=True)
class WebhookTarget:
    """A receiver and the key that its deliveries are signed with."""

    url: str
    key: bytes = attrs.field(repr=False)
    timeout_s: float
