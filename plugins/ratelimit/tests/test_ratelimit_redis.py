"""Over a real Valkey: exact over processes whose clocks disagree, and through its death and return."""

import asyncio
import subprocess
import sys
import time
import uuid

import pytest
from ragwork_hooks.admission import Admission
from ragwork_redis.opening import session
from ragwork_testkit.platform import DEFAULT_PLUGINS
from ragwork_testkit.valkey import ValkeyServer

PLUGINS = (*DEFAULT_PLUGINS, "redis", "ratelimit")
RATE, BURST = 20.0, 20
#: Clocks of the application, off by hours and days, and one that runs at double speed.
SKEWS = ("0,1", "-90000,1", "7200,1", "3600,2")

_SERVER = """
import asyncio, sys, time
offset, speed = map(float, sys.argv[2].split(","))
real, now = time.monotonic, time.time
time.monotonic = lambda: real() * speed + offset
time.time = lambda: now() * speed + offset

from ragwork_hooks.admission import Admission, AdmissionRequest
from ragwork_hooks.auth import Principal, Role
from ragwork_ratelimit.buckets import LocalBuckets
from ragwork_ratelimit.config import RateLimitConfig
from ragwork_ratelimit.degradation_audit import DegradationAudit
from ragwork_ratelimit.gate import RateGate
from ragwork_redis.opening import session

class Metrics:
    def count(self, name, help, **labels):
        assert name == "rate_limited_total", name

async def none():
    raise AssertionError

async def serve():
    config = RateLimitConfig(key_read_rps=float(sys.argv[3]), key_read_burst=int(sys.argv[4]),
                             tenant_read_rps=1e5, tenant_read_burst=100000, fail_mode="closed")
    caller = Principal(tenant_id="t", user_id="u", credential_id="k", kind="api_key", role=Role.READER)
    ask = AdmissionRequest(principal=caller, peer="192.0.2.1", route="r", rate_class="read", switch=None, feature=None,
              request_id="r", open=none)
    async with session(sys.argv[1]) as state:
        gate = RateGate(config, state=state, local=LocalBuckets(time.monotonic, 10), metrics=Metrics(),
                        degradation=DegradationAudit("closed", Metrics(), time.monotonic))
        await state.check()
        print("ready", flush=True)
        sys.stdin.readline()
        end = real() + 1.0
        async def client():
            seen = []
            while (sent := real()) < end:
                seen.append((sent, isinstance(await gate.admit(ask), Admission), real()))
            return seen
        seen = sum(await asyncio.gather(*(client() for _ in range(8))), [])
        sent, admitted, done = zip(*seen)
        print(sum(admitted), min(sent), min(done), max(sent), max(done), flush=True)

asyncio.run(serve())
"""


@pytest.fixture
def redis_url(valkey):
    """Keys of this test's own; patient, since the machine may be busy."""
    return f"{valkey.url}?prefix={uuid.uuid4().hex}&timeout=5"


def test_four_processes_with_clocks_that_disagree_admit_the_bound(redis_url):
    command = [sys.executable, "-c", _SERVER, redis_url]
    servers = [
        subprocess.Popen([*command, skew, str(RATE), str(BURST)], stdin=-1, stdout=-1, text=True)
        for skew in SKEWS
    ]
    for server in servers:
        assert server.stdout.readline() == "ready\n"
    for server in servers:
        server.stdin.write("go\n")
        server.stdin.flush()
    told = [map(float, server.communicate(timeout=60)[0].split()) for server in servers]
    admitted, first_sent, first_done, last_sent, last_done = zip(*told, strict=True)
    # All four told times of the machine's one clock. The store saw the first and the last request in between.
    shortest, longest = max(last_sent) - min(first_done), max(last_done) - min(first_sent)
    assert BURST + RATE * shortest - 1 <= sum(admitted) <= BURST + RATE * longest


async def test_two_servers_share_a_bucket_and_the_death_of_the_store_is_survived(platform, tmp_path):
    store = ValkeyServer(tmp_path).start()
    settings = {
        "REDIS_URL": f"{store.url}?timeout=2",
        "RL_KEY_READ_RPS": "0.01",
        "RL_KEY_READ_BURST": "6",
    }
    try:
        async with platform(plugins=PLUGINS, settings=settings) as one:
            key = await one.key()
            async with platform(plugins=PLUGINS, settings=settings, database_url=one.database_url) as two:
                answers = [await app.call("GET", "/v1/corpora", key) for app in (one, two) * 5]
                assert [a.status for a in answers] == [200] * 6 + [429] * 4
                assert not any("X-RateLimit-Status" in a.headers for a in answers)
                store.kill()
                degraded = [await app.call("GET", "/v1/corpora", key) for app in (one, two) * 10]
                assert [a.status for a in degraded].count(200) == 2 * 6
                assert {a.headers["X-RateLimit-Status"] for a in degraded} == {"degraded"}
                store.start()
                back = await answered_by_the_store(one, key)
                assert back.status == 200  # the store forgot, with all it held
                assert back.headers["RateLimit"].startswith('"read-key";r=')
    finally:
        store.kill()


async def answered_by_the_store(app, key):
    async with asyncio.timeout(20):
        while "X-RateLimit-Status" in (answer := await app.call("GET", "/v1/corpora", key)).headers:  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0.05)
    return answer


async def let_in(gate, ask):
    async with asyncio.timeout(20):
        while not isinstance(await gate.admit(ask), Admission):  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0.05)


async def test_failing_closed_is_503_until_the_store_is_back(world, kit, tmp_path):
    store = ValkeyServer(tmp_path).start()
    try:
        async with session(f"{store.url}?timeout=2") as state:
            held = world(state, fail_mode="closed")
            assert isinstance(await held.gate.admit(kit.ask()), Admission)
            store.kill()
            refused = await held.gate.admit(kit.ask())
            assert refused.code == "RATE_LIMIT_UNAVAILABLE"
            since = time.monotonic()
            for _ in range(200):
                assert (await held.gate.admit(kit.ask())).code == "RATE_LIMIT_UNAVAILABLE"
            assert (time.monotonic() - since) / 200 < 0.02
            store.start()
            await let_in(held.gate, kit.ask())
    finally:
        store.kill()


async def test_the_store_names_the_short_bucket_and_the_wait(world, kit, redis_url):
    async with session(redis_url) as state:
        held = world(state, key_read_burst=2, key_read_rps=0.01)
        verdicts = [isinstance(await held.gate.admit(kit.ask()), Admission) for _ in range(4)]
        assert verdicts == [True, True, False, False]
        refused = await held.gate.admit(kit.ask())
        assert refused.details["scope"] == "api_key"
        assert 99_000 <= refused.details["retry_after_ms"] <= 100_000
