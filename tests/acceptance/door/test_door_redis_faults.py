"""A real Valkey dies, slows down, turns read-only, loses everything: the door stays shut to who was shut out."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

import pytest
from doorkit import ASSEMBLY, LIMITED, Tenant, looking, opened, until, verdict
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import Answer, Running
from ragwork_testkit.tcpproxy import Proxy, between
from ragwork_testkit.valkey import ValkeyServer
from redis import Redis

FAULTS = ("down", "slow", "silent", "read-only")
BURST = 20


@asynccontextmanager
async def shared(
    postgres: PostgresServer, valkey: ValkeyServer, *, timeout_s: float = 0.25, **settings: str
) -> AsyncIterator[tuple[Running, Proxy]]:
    """The assembly with its state in ``valkey``, behind a network that can be made bad."""
    async with between(valkey.url) as net:
        url = valkey.url.replace(f":{valkey.port}/", f":{urlsplit(net.url).port}/")
        more = {
            **LIMITED,
            "REDIS_URL": f"{url}?timeout={timeout_s}",
            "RL_KEY_READ_RPS": "0.000001",
            **settings,
        }
        async with opened(postgres, more, plugins=(*ASSEMBLY, "redis")) as app:
            yield app, net


def hurt(fault: str, valkey: ValkeyServer, net: Proxy, *, mend: bool = False) -> None:
    match fault:
        case "down" if mend:
            valkey.start()
        case "down":
            valkey.kill()
        case "slow":
            net.latency_s = 0.0 if mend else 2.0
        case "silent":
            net.mode = "pass" if mend else "half_open"
        case _:
            with Redis.from_url(valkey.url) as client:
                client.execute_command("REPLICAOF", *(("NO", "ONE") if mend else ("127.0.0.1", "1")))


def degraded(answer: Answer) -> bool:
    return answer.headers.get("X-RateLimit-Status") == "degraded"


@pytest.mark.parametrize("fault", FAULTS)
async def test_open_the_process_limits_for_itself_says_so_and_comes_back(
    postgres: PostgresServer, own_valkey: ValkeyServer, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    async with shared(postgres, own_valkey) as (app, net):
        tenant = await Tenant.of(app)
        key = await tenant.key()
        before = await app.call("GET", "/v1/corpora", key)
        assert (before.status, degraded(before)) == (200, False)
        hurt(fault, own_valkey, net)
        times = []
        answers = []
        for _ in range(BURST + 10):
            since = time.perf_counter()
            answers.append(await app.call("GET", "/v1/corpora", key))
            times.append(time.perf_counter() - since)
        assert [a.status for a in answers] == [200] * BURST + [429] * 10
        assert all(degraded(a) for a in answers)
        assert all(a.headers["X-Quota-Day-Limit"] == "unlimited" for a in answers[:BURST])
        # One may find it out and wait for the store's time; nobody after it waits.
        assert sorted(times)[-1] < 1.5
        assert sorted(times)[-3] < 0.25, times
        # What must hold without it: switches, single effects, quota.
        made = [await tenant.corpus(key, "c1", Idempotency_Key="once") for _ in range(2)]
        assert [(a.status, degraded(a)) for a in made] == [(201, True)] * 2
        await tenant.kill("run")
        assert verdict(await tenant.run(key)) == (503, "FEATURE_TEMPORARILY_DISABLED")
        health = await app.call("GET", "/v1/ops/health", key)
        assert (health.status, health.data["redis"], health.data["db"]) == (200, "degraded", "ok")
        hurt(fault, own_valkey, net, mend=True)
        other = await tenant.key("reader", "bob")

        async def back() -> bool:
            return not degraded(await app.call("GET", "/v1/openapi.json", other))

        await until(back)
        assert not degraded(await app.call("GET", "/v1/corpora", other))
        assert verdict(await tenant.run(key)) == (503, "FEATURE_TEMPORARILY_DISABLED")
        # One record for all of it, written beside the requests.
        await until(partial(recorded, app, 1))
        assert "failed" not in "".join(r.getMessage() for r in caplog.records if r.levelname == "ERROR")


async def recorded(app: Running, times: int) -> bool:
    async with looking(app.database_url) as db:
        told = await db.fetchval(
            """SELECT count(*) FROM audit.events
            WHERE tenant_id = 'ragwork.platform' AND event_type = 'system.rate_limit.degraded'"""
        )
    assert told <= times
    return bool(told == times)


@pytest.mark.parametrize("fault", ["down", "read-only"])
async def test_closed_nothing_passes_nothing_is_charged_and_probes_answer(
    postgres: PostgresServer, own_valkey: ValkeyServer, fault: str
) -> None:
    async with shared(postgres, own_valkey, RL_FAIL_MODE="closed") as (app, net):
        tenant = await Tenant.of(app)
        key = await tenant.key()
        assert (await tenant.corpus(key)).status == 201
        hurt(fault, own_valkey, net)
        for answer in (await app.call("GET", "/v1/corpora", key), await tenant.corpus(key, "c2")):
            assert verdict(answer) == (503, "RATE_LIMIT_UNAVAILABLE")
            assert degraded(answer)
            assert int(answer.headers["Retry-After"]) >= 1
        assert (await app.call("GET", "/v1/health")).status == 200
        assert (await app.call("GET", "/v1/healthz")).status == 200
        assert await tenant.used() == 1
        hurt(fault, own_valkey, net, mend=True)

        async def back() -> bool:
            return (await app.call("GET", "/v1/corpora", key)).status == 200

        await until(back)


async def test_flushed_while_serving_only_the_buckets_are_new(
    postgres: PostgresServer, own_valkey: ValkeyServer
) -> None:
    # Patient: a busy machine must not look like a store that is away.
    async with shared(postgres, own_valkey, timeout_s=5) as (app, _):
        tenant = await Tenant.of(app)
        key = await tenant.key()
        await tenant.corpus(key, "c1", Idempotency_Key="once")
        await tenant.kill("run")
        await tenant.limit(daily_requests_limit=1000)
        answers: list[Answer] = []

        async def client() -> None:
            for _ in range(30):
                answers.append(await app.call("GET", "/v1/corpora", key))  # noqa: PERF401  # seen below

        async def under_way() -> bool:
            return len(answers) >= 40

        clients = [asyncio.create_task(client()) for _ in range(8)]
        with Redis.from_url(own_valkey.url) as store:
            await until(under_way)
            store.flushall()
        await asyncio.gather(*clients)
        assert {a.status for a in answers} == {200, 429}
        assert not any(degraded(a) for a in answers)
        assert BURST < sum(a.status == 200 for a in answers) <= 2 * BURST
        again = await tenant.corpus(key, "c1", Idempotency_Key="once")
        assert again.headers["Idempotency-Replayed"] == "true"
        assert verdict(await tenant.run(key)) == (503, "FEATURE_TEMPORARILY_DISABLED")
        assert again.headers["X-Quota-Day-Limit"] == "1000"
