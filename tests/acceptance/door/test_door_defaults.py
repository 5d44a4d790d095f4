"""The limits of the README as they come out of the box, counted over HTTP to the request."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from doorkit import LIMITED, Tenant, opened
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import Answer, Running

pytestmark = pytest.mark.asyncio(loop_scope="module")
#: Class: rate and burst of a key, of a tenant, tokens of a request. From the README, not from the code.
README = {
    "run": ((1, 5), (3, 15), 3),
    "mutation": ((2, 10), (5, 25), 1),
    "read": ((5, 20), (15, 60), 1),
    "ops": ((2, 10), (4, 20), 1),
}
#: A request of each class that is refused after the limiter, so that nothing else takes time.
REQUESTS = {
    "run": ("POST", "/v1/run"),
    "mutation": ("POST", "/v1/corpora"),
    "read": ("GET", "/v1/sessions?limit=none"),
    "ops": ("GET", "/v1/ops/ingestion?hours=none"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(postgres: PostgresServer) -> AsyncIterator[Running]:
    async with opened(postgres, LIMITED) as running:
        yield running


async def counted(send: Callable[[int], Awaitable[Answer]], count: int) -> tuple[list[Answer], float]:
    """Answers of ``count`` requests at once, and the seconds that they took."""
    since = time.perf_counter()
    answers = await asyncio.gather(*(send(n) for n in range(count)))
    return answers, time.perf_counter() - since


@pytest.mark.parametrize("name", README)
@pytest.mark.parametrize("scope", ["api_key", "tenant"])
async def test_a_burst_is_admitted_exactly(app: Running, name: str, scope: str) -> None:
    of_key, of_tenant, cost = README[name]
    rate, burst = of_key if scope == "api_key" else of_tenant
    tenant = await Tenant.of(app)
    # Enough keys that none of them is the one that runs out.
    keys = [await tenant.key("admin", f"u{n}") for n in range(1 if scope == "api_key" else 30)]
    method, path = REQUESTS[name]
    body = {} if method == "POST" else None
    answers, seconds = await counted(
        lambda n: app.call(method, path, keys[n % len(keys)], json=body), burst // cost + 20
    )
    assert {a.status for a in answers} == {422, 429}
    admitted = sum(a.status == 422 for a in answers)
    assert burst // cost <= admitted <= (burst + rate * seconds) // cost
    refused = [a.body["error"]["details"] for a in answers if a.status == 429]
    assert {(d["scope"], d["route_class"]) for d in refused} == {(scope, name)}
    assert all(0 < d["retry_after_ms"] <= cost / rate * 1000 + 1 for d in refused)


async def test_after_the_told_wait_one_more_and_only_one(app: Running) -> None:
    tenant = await Tenant.of(app)
    key = await tenant.key("reader")
    assert (await app.call("POST", "/v1/run", key, json={})).status == 422
    refused = await app.call("POST", "/v1/run", key, json={})
    assert refused.status == 429
    told_ms = int(refused.headers["X-RateLimit-Retry-After-Ms"])
    # Two of five tokens are left, a third is a second away.
    assert 900 <= told_ms <= 1001
    assert refused.headers["Retry-After"] == "1"
    await asyncio.sleep(told_ms / 1000)
    assert (await app.call("POST", "/v1/run", key, json={})).status == 422
    assert (await app.call("POST", "/v1/run", key, json={})).status == 429
    # Another key of the tenant is its own; another class is its own bucket.
    assert (await app.call("POST", "/v1/run", await tenant.key("reader", "bob"), json={})).status == 422
    assert (await app.call("GET", "/v1/corpora", key)).status == 200
