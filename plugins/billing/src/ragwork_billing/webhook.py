"""One delivery: what is sent, how it is signed, and what the receiver's answer means."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Final

import attrs
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.services import Egress

from ragwork_billing.config import WebhookTarget

#: Statuses below 500 that say "not now" rather than "no".
_LATER: Final = frozenset({408, 425, 429})
_LONGEST_ANSWER: Final = 65_536
REJECTED: Final = "RECEIVER_REJECTED"


@attrs.frozen(kw_only=True)
class WebhookMessage:
    """A billing event on its way. ``delivery_id`` is stable over attempts."""

    delivery_id: str
    tenant_id: str
    event_type: str
    payload: Mapping[str, object]

    def body(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces, UTF-8. Every attempt sends the same bytes."""
        fields = attrs.asdict(self, recurse=False)
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        # Half a surrogate pair has no UTF-8 form.
        return text.encode("utf-8", "replace")


class Webhook:
    """Sends messages to one receiver."""

    def __init__(self, egress: Egress, target: WebhookTarget) -> None:
        self._egress = egress
        self._target = target

    async def send(self, message: WebhookMessage) -> int:
        """The receiver's status, when it took the message.

        Raises ``ProviderError``: ``RECEIVER_REJECTED`` or ``EGRESS_REFUSED`` when trying again is
        pointless, else ``INTEGRATION_UNAVAILABLE`` with ``retryable``.
        """
        body = message.body()
        response = await self._egress.request(
            "POST",
            self._target.url,
            headers={
                "Content-Type": "application/json",
                "X-Billing-Event": message.event_type,
                "X-Billing-Delivery": message.delivery_id,
                "X-Billing-Signature": signature(self._target.key, body),
            },
            body=body,
            timeout_s=self._target.timeout_s,
            max_bytes=_LONGEST_ANSWER,
        )
        if 200 <= response.status < 300:
            return response.status
        raise WebhookRefused(response.status)


class WebhookRefused(ProviderError):
    """The receiver answered, and not with a 2xx."""

    def __init__(self, status: int) -> None:
        later = status >= 500 or status in _LATER
        super().__init__(
            "INTEGRATION_UNAVAILABLE" if later else REJECTED,
            f"the billing receiver answered {status}",
            retryable=later,
        )
        self.status = status


def signature(key: bytes, body: bytes) -> str:
    """HMAC-SHA256 of the raw body, in hexadecimal."""
    return hmac.new(key, body, hashlib.sha256).hexdigest()
