"""Odd keys and odd limits: a clear code, the field's name, and nothing changed."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from doorkit import Tenant, looking, opened, verdict
from ragwork_hooks.errors import ConfigError
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import Running

pytestmark = pytest.mark.asyncio(loop_scope="module")
BODY = json.dumps({"id": "c1", "name": "c1", "provider_config_json": {}}).encode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(postgres: PostgresServer) -> AsyncIterator[Running]:
    async with opened(postgres) as running:
        yield running


async def posted(app: Running, key: str, *lines: bytes) -> tuple[int, str]:
    """Status and body of a request whose header lines are sent as they are."""
    address = urlsplit(app.base)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = [
        b"POST /v1/corpora HTTP/1.1", b"Host: x", b"Connection: close", b"Content-Type: application/json",
        b"Authorization: Bearer " + key.encode(), b"Content-Length: %d" % len(BODY), *lines,
    ]  # fmt: skip
    writer.write(b"\r\n".join(head) + b"\r\n\r\n" + BODY)
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    status, body = answer.split(b"\r\n\r\n", 1)
    return int(status.split()[1]), body.decode(errors="replace")


@pytest.mark.parametrize(
    "lines",
    [
        [b"Idempotency-Key: "],
        [b"Idempotency-Key: " + b"k" * 129],
        [b"Idempotency-Key: " + b"k" * 5000],
        [b"Idempotency-Key: a\tb"],
        [b"Idempotency-Key: schl\xc3\xbcssel"],
        [b"Idempotency-Key: a", b"Idempotency-Key: b"],
    ],
    ids=["empty", "129", "5000", "tab", "not ascii", "two"],
)
async def test_an_ill_formed_key_is_refused_by_name(app: Running, lines: list[bytes]) -> None:
    tenant = await Tenant.of(app)
    status, body = await posted(app, await tenant.key(), *lines)
    assert (status, json.loads(body)["error"]["code"]) == (400, "IDEMPOTENCY_KEY_INVALID")
    assert (await tenant.used(), await tenant.events()) == (0, [])


@pytest.mark.parametrize(
    "line", [b"Idempotency-Key: a\x00b", b"Idempotency-Key: a\x01b", b"Idempotency-Key: a\x7fb"]
)
async def test_control_characters_never_become_a_key(app: Running, line: bytes) -> None:
    tenant = await Tenant.of(app)
    status, _ = await posted(app, await tenant.key(), line)
    assert status == 400
    assert (await tenant.used(), await tenant.events()) == (0, [])


async def test_a_key_of_128_characters_is_one(app: Running) -> None:
    tenant = await Tenant.of(app)
    key = await tenant.key()
    for replayed in ("", "true"):
        answer = await tenant.corpus(key, Idempotency_Key="~" * 128)
        assert (answer.status, answer.headers.get("Idempotency-Replayed", "")) == (201, replayed)


ODD = (
    "-1",
    "NaN",
    "Infinity",
    "1e30",
    '"1e3"',
    '"7"',
    "true",
    "1.5",
    "[]",
    "{}",
    "9223372036854775808",
    "1" * 400,
)


@pytest.mark.parametrize("field", ["daily_requests_limit", "monthly_tokens_limit"])
@pytest.mark.parametrize("value", ODD, ids=lambda v: v[:12])
async def test_an_odd_limit_is_refused_and_the_old_one_stays(app: Running, field: str, value: str) -> None:
    tenant = await Tenant.of(app)
    await tenant.limit(**{field: 7})
    answer = await raw_patch(app, tenant, f'{{"{field}": {value}}}')
    assert verdict(answer)[0] == 422, answer.text
    assert (await limits(app, tenant))[field] == 7


@pytest.mark.parametrize(
    "body",
    ['{"soft_cap_ratio": NaN}', '{"soft_cap_ratio": -0.1}', '{"soft_cap_ratio": 1.01}', '{"soft_cap_ratio": null}',
     '{"hard_cap_enabled": null}', '{"hard_cap_enabled": 1}', '{"daily_request_limit": 1}', "[]", "null", ""],
)  # fmt: skip
async def test_an_odd_ratio_or_field_is_refused_and_changes_nothing(app: Running, body: str) -> None:
    tenant = await Tenant.of(app)
    before = await limits(app, tenant)
    assert (await raw_patch(app, tenant, body)).status in (400, 422)
    assert await limits(app, tenant) == before


async def test_zero_is_nothing_null_is_no_limit_and_both_hold_at_once(app: Running) -> None:
    tenant = await Tenant.of(app)
    key = await tenant.key()
    assert (await app.call("GET", "/v1/corpora", key)).status == 200
    for limit, status in ((0, 402), (None, 200), (0, 402), (1000, 200)):
        await tenant.limit(daily_requests_limit=limit)
        answer = await app.call("GET", "/v1/corpora", key)
        assert answer.status == status
        assert answer.headers["X-Quota-Day-Limit"] == ("unlimited" if limit is None else str(limit))
    # Below what is used: nothing more, and nothing negative.
    await tenant.limit(daily_requests_limit=1)
    answer = await app.call("GET", "/v1/corpora", key)
    assert (answer.status, answer.headers["X-Quota-Day-Remaining"]) == (402, "0")


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "1e30", "none", "1 2"])
@pytest.mark.parametrize("name", ["RL_KEY_RUN_RPS", "RL_TENANT_READ_BURST", "IDEMPOTENCY_TTL_HOURS"])
async def test_an_odd_setting_stops_the_boot_and_is_named(
    postgres: PostgresServer, name: str, value: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        async with opened(postgres, {name: value}):
            raise AssertionError("it booted")
    assert name in str(caught.value)


async def test_a_burst_of_zero_closes_a_class_without_promising_a_time(postgres: PostgresServer) -> None:
    async with opened(postgres, {"RATE_LIMIT_ENABLED": "true", "RL_KEY_RUN_BURST": "0"}) as app:
        tenant = await Tenant.of(app)
        refused = await tenant.run(await tenant.key())
        assert verdict(refused) == (429, "RATE_LIMITED")
        assert refused.body["error"]["details"]["retry_after_ms"] is None
        assert "Retry-After" not in refused.headers


async def raw_patch(app: Running, tenant: Tenant, body: str):  # type: ignore[no-untyped-def]  # tests only
    headers = {"Content-Type": "application/json"}
    return await app.call(
        "PATCH", f"/v1/admin/quotas/{tenant.name}", tenant.operator, data=body, headers=headers
    )


async def limits(app: Running, tenant: Tenant) -> Mapping[str, object]:
    answer = await app.call("GET", f"/v1/admin/quotas/{tenant.name}", tenant.operator)
    async with looking(app.database_url) as db:
        assert await db.fetchval("SELECT count(*) FROM quota.limits WHERE tenant_id = $1", tenant.name) <= 1
    found: Mapping[str, object] = answer.data
    return found
