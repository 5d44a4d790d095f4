"""From a durable event to a receiver: real outbox, real egress, a real HTTP server on the other end."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from ragwork_billing.config import BillingConfig
from ragwork_billing.webhook import WebhookMessage, signature
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.events import Event
from ragwork_hooks.notification import Destination
from ragwork_testkit.channels import ChannelContract
from ragwork_testkit.local_server import served

PLUGINS = ("directory", "apikeys", "rbac", "billing")
SECRET = "billing-secret"
TEST = "/v1/self-serve/billing/webhook-test"


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(1000):
        if await check():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to pass within 10 s")


class Receiver:
    """Answers with ``statuses`` in turn, the last one for good."""

    def __init__(self) -> None:
        self.statuses = [200]
        self.delay_s = 0.0
        self.seen: list[tuple[Mapping[str, str], bytes]] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.seen.append((request.headers, await request.read()))
        await asyncio.sleep(self.delay_s)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return web.Response(status=status)

    async def until(self, count: int) -> None:
        async def enough() -> bool:
            return len(self.seen) >= count

        await eventually(enough)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_post("/hooks", found.take)
    async with served(app) as address:
        found.url = f"{address}/hooks"
        yield found


def settings(receiver: Receiver, **more: str) -> dict[str, str]:
    return {
        "BILLING_WEBHOOK_ENABLED": "true",
        "BILLING_WEBHOOK_URL": receiver.url,
        "BILLING_WEBHOOK_SECRET": SECRET,
        "EGRESS_ALLOW_PRIVATE": "127.0.0.0/8",
        **more,
    }


async def publish(app: Any, kind: str = "quota.soft_cap_reached", **payload: object) -> None:
    services = app.platform.parts
    async with services.db.tenant("t1") as tx:
        await services.events.publish(tx, Event(type=kind, key="quota", payload=payload))


async def left(app: Any) -> list[Any]:
    connection = await asyncpg.connect(app.database_url)
    try:
        rows: list[Any] = await connection.fetch("SELECT * FROM ragwork.outbox ORDER BY id")
    finally:
        await connection.close()
    return rows


async def test_an_event_arrives_signed_over_its_raw_body(platform: Any, receiver: Receiver) -> None:
    async with platform(plugins=PLUGINS, settings=settings(receiver)) as app, app.platform.working():
        await publish(app, period="day", used=8, limit=10)
        await receiver.until(1)
    headers, body = receiver.seen[0]
    assert headers["X-Billing-Event"] == "quota.soft_cap_reached"
    assert headers["X-Billing-Signature"] == hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    message = json.loads(body)
    assert body == json.dumps(message, sort_keys=True, separators=(",", ":")).encode()
    assert message == {
        "delivery_id": headers["X-Billing-Delivery"],
        "event_type": "quota.soft_cap_reached",
        "payload": {"limit": 10, "period": "day", "used": 8},
        "tenant_id": "t1",
    }


async def test_a_receiver_that_fails_gets_the_same_bytes_again_under_the_same_id(
    platform: Any, receiver: Receiver
) -> None:
    receiver.statuses = [500, 429, 204]
    async with platform(plugins=PLUGINS, settings=settings(receiver)) as app, app.platform.working():
        await publish(app, used=1)
        await receiver.until(3)

        async def delivered() -> bool:
            return not await left(app)

        await eventually(delivered)
    assert len({(headers["X-Billing-Delivery"], body) for headers, body in receiver.seen}) == 1


async def test_a_slow_receiver_is_given_up_after_the_timeout_and_tried_again(
    platform: Any, receiver: Receiver
) -> None:
    receiver.delay_s = 0.4
    fast = settings(receiver, BILLING_WEBHOOK_TIMEOUT_MS="100")
    async with platform(plugins=PLUGINS, settings=fast) as app, app.platform.working():
        await publish(app, used=1)
        await receiver.until(1)
        receiver.delay_s = 0.0
        await receiver.until(2)


async def test_a_receiver_that_is_gone_keeps_the_event_with_the_reason(
    platform: Any, receiver: Receiver
) -> None:
    receiver.statuses = [410]
    async with platform(plugins=PLUGINS, settings=settings(receiver)) as app, app.platform.working():
        await publish(app, used=1)

        async def refused() -> bool:
            return any(row["reason"] for row in await left(app))

        await eventually(refused)
        [row] = await left(app)
    assert row["reason"] == "PermanentFailure: RECEIVER_REJECTED: the billing receiver answered 410"


async def test_other_events_stay_home(platform: Any, receiver: Receiver) -> None:
    async with platform(plugins=PLUGINS, settings=settings(receiver)) as app:
        await publish(app, "billing.webhook.failure")
        await publish(app, "documents.deleted")
        assert await left(app) == []
        await publish(app, "billing.upgrade_requested")
        assert len(await left(app)) == 1


async def test_the_test_route_says_what_became_of_it(platform: Any, receiver: Receiver) -> None:
    async with platform(plugins=PLUGINS, settings=settings(receiver)) as app:
        key = await app.key()
        sent = await app.call("POST", TEST, key)
        headers, body = receiver.seen[0]
        assert sent.data == {
            "sent": True,
            "status_code": 200,
            "delivery_id": headers["X-Billing-Delivery"],
            "message": "the receiver took the test message",
        }
        assert headers["X-Billing-Event"] == "billing.webhook.test"
        assert headers["X-Billing-Signature"] == signature(SECRET.encode(), body)
        receiver.statuses = [410]
        refused = await app.call("POST", TEST, key)
        assert (refused.status, refused.data["sent"], refused.data["status_code"]) == (200, False, 410)
        assert (await app.call("POST", TEST, await app.key(role="editor", user="e"))).status == 403


async def test_without_the_switch_nothing_is_sent(platform: Any, receiver: Receiver) -> None:
    off = {"BILLING_WEBHOOK_ENABLED": ""}
    async with platform(plugins=PLUGINS, settings=settings(receiver) | off) as app:
        answer = await app.call("POST", TEST, await app.key())
        assert (answer.status, answer.code) == (400, "BILLING_WEBHOOK_NOT_CONFIGURED")
        await publish(app)
        assert await left(app) == []
    assert receiver.seen == []


async def test_an_address_that_policy_forbids_is_not_called_nor_named(
    platform: Any, receiver: Receiver
) -> None:
    shut = settings(receiver) | {"EGRESS_ALLOW_PRIVATE": ""}
    async with platform(plugins=PLUGINS, settings=shut) as app:
        answer = await app.call("POST", TEST, await app.key())
        assert answer.data["sent"] is False
        assert "127.0.0.1" not in answer.text
    assert receiver.seen == []


@pytest.mark.parametrize("missing", ["url", "secret"])
def test_every_profile_refuses_an_unsigned_or_aimless_webhook(missing: str) -> None:
    values = {"url": "https://billing.example.com", "secret": "s", missing: None}
    with pytest.raises(ConfigError, match=f"BILLING_WEBHOOK_{missing.upper()}"):
        BillingConfig(enabled=True, **values)  # type: ignore[arg-type]
    BillingConfig(enabled=False)


def test_the_secret_is_in_no_repr() -> None:
    config = BillingConfig(enabled=True, url="https://billing.example.com", secret="hush-hush")
    assert "hush" not in repr(config)
    assert "hush" not in repr(config.target)


def test_the_body_is_canonical_whatever_the_order_of_the_payload() -> None:
    one, other = (
        WebhookMessage(delivery_id="d", tenant_id="t", event_type="e", payload=payload).body()
        for payload in ({"b": 1, "a": "ü"}, {"a": "ü", "b": 1})
    )
    assert one == other
    assert "ü".encode() in one


class TestBillingChannelContract(ChannelContract):
    @pytest.fixture(autouse=True)
    def received(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.settings = settings(receiver)  # type: ignore[misc]  # the receiver's port is this test's

    def destination(self) -> Destination:
        return Destination(id="d1", tenant_id="t1", url=self.receiver.url)

    def arrived(self) -> list[str]:
        return [headers["X-Billing-Delivery"] for headers, _ in self.receiver.seen]
