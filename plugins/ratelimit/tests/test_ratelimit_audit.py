"""With the real audit log: refusals and times without the shared state are recorded."""

import asyncio

from ragwork_hooks.audit import PLATFORM_TENANT, AuditLog
from ragwork_testkit.platform import DEFAULT_PLUGINS
from ragwork_testkit.valkey import ValkeyServer

PLUGINS = (*DEFAULT_PLUGINS, "audit", "redis", "ratelimit")
RECORDS = "SELECT event_type, actor_id, error_code FROM audit.events WHERE event_type = $1"


async def recorded(app, tenant, event_type):
    services = app.platform.facades["ratelimit"]
    assert services.use_optional(AuditLog) is not None
    async with services.db.tenant(tenant, "read") as tx:
        return await tx.fetch(RECORDS, event_type)


async def test_a_refused_request_is_recorded_in_its_tenants_log(platform):
    settings = {"RL_KEY_READ_BURST": "1", "RL_KEY_READ_RPS": "0.01"}
    async with platform(plugins=PLUGINS, settings=settings) as app:
        key = await app.key()
        assert [(await app.call("GET", "/v1/corpora", key)).status for _ in range(2)] == [200, 429]
        (row,) = await recorded(app, "t1", "security.rate_limited")
        assert (row["actor_id"], row["error_code"]) == (key.split("_")[1], "RATE_LIMITED")


async def test_an_absent_store_is_recorded_in_the_platforms_log(platform, tmp_path):
    store = ValkeyServer(tmp_path)
    async with platform(plugins=PLUGINS, settings={"REDIS_URL": store.url}) as app:
        key = await app.key()
        answer = await app.call("GET", "/v1/corpora", key)
        assert (answer.status, answer.headers["X-RateLimit-Status"]) == (200, "degraded")
        async with asyncio.timeout(10):
            rows = []
            while not rows:
                rows = await recorded(app, PLATFORM_TENANT, "system.rate_limit.degraded")
                await asyncio.sleep(0.1)
        await app.call("GET", "/v1/corpora", key)
        await asyncio.sleep(1.2)
        assert len(await recorded(app, PLATFORM_TENANT, "system.rate_limit.degraded")) == 1
