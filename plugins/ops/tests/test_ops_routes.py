"""The operators' routes over a real platform."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import DEFAULT_PLUGINS, Running, running

PLUGINS = (*DEFAULT_PLUGINS, "idempotency", "ops")
pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Counters of the wire contract whose features are built.
COUNTERS = (
    "ingest_enqueued", "ingest_succeeded", "ingest_failed", "service_busy", "quota_exceeded", "rate_limited",
    "sse_streams_disconnected", "external_retries", "circuit_breaker_open",
)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(postgres: PostgresServer) -> AsyncIterator[Running]:
    async with running(postgres, PLUGINS) as platform:
        yield platform


async def test_health_names_database_state_worker_and_queue(served: Running) -> None:
    key = await served.key()
    async with asyncio.timeout(15):
        while True:
            answer = await served.call("GET", "/v1/ops/health", key)
            if answer.data["worker_heartbeat_age_s"] is not None:
                break
            await asyncio.sleep(0.2)
    assert answer.status == 200
    data = answer.data
    assert (data["status"], data["api"], data["db"], data["redis"]) == ("ok", "ok", "ok", "off")
    assert data["queue_depth"] == 0
    assert data["worker_heartbeat_age_s"] < 60


async def test_a_schedule_that_fails_degrades_health_and_says_why(served: Running) -> None:
    key = await served.key()
    connection = await asyncpg.connect(served.database_url)
    try:
        await connection.execute(
            "INSERT INTO ragwork.schedules (name, tick, started_at, reason) VALUES ('x.y', now(), now(), 'no disk')"
        )
        data = (await served.call("GET", "/v1/ops/health", key)).data
        (seen,) = [s for s in data["schedules"] if s["name"] == "x.y"]
        assert (data["status"], seen["failure"], seen["last_success_at"]) == ("degraded", "no disk", None)
    finally:
        await connection.execute("DELETE FROM ragwork.schedules WHERE name = 'x.y'")
        await connection.close()


async def test_ops_is_for_admins(served: Running) -> None:
    for path in ("health", "ingestion", "metrics", "slo"):
        for role in ("reader", "editor"):
            key = await served.key("roles", role, user=f"u-{role}")
            assert (await served.call("GET", f"/v1/ops/{path}", key)).status == 403


async def test_ingestion_counts_the_callers_documents_only(served: Running) -> None:
    key, other = await served.key("ing-a"), await served.key("ing-b")
    await served.call("POST", "/v1/corpora", key, json={"id": "c", "name": "c"})
    await served.call("POST", "/v1/documents/text", key, json={"corpus_id": "c", "text": "hello world"})
    async with asyncio.timeout(20):
        while True:
            mine = (await served.call("GET", "/v1/ops/ingestion?hours=1", key)).data
            if mine["documents"]["succeeded"]:
                break
            await asyncio.sleep(0.2)
    assert mine["window_hours"] == 1
    assert mine["documents"] == {"queued": 0, "processing": 0, "succeeded": 1, "failed": 0}
    assert mine["durations_ms"]["p50"] > 0
    theirs = (await served.call("GET", "/v1/ops/ingestion", other)).data
    assert theirs["documents"]["succeeded"] == 0
    assert (await served.call("GET", "/v1/ops/ingestion?hours=169", key)).status == 422


async def test_the_objective_is_measured_over_every_process(
    served: Running, postgres: PostgresServer
) -> None:
    key = await served.key("slo")
    for _ in range(10):
        await served.call("GET", "/v1/corpora", key)
    (traffic,) = (o for o in served.platform.plan.observers if o.name == "ops-traffic")
    await traffic.save()  # type: ignore[attr-defined]
    async with running(postgres, PLUGINS, database_url=served.database_url) as second:
        await second.call("GET", "/v1/corpora", key)
        found = (await second.call("GET", "/v1/ops/slo", key)).data
        (theirs,) = (o for o in second.platform.plan.observers if o.name == "ops-traffic")
        series = await theirs.last_hour()  # type: ignore[attr-defined]
    assert sum(s.requests for s in series.values()) >= 11
    assert (found["window"], found["availability"]) == ("1h", 100.0)
    assert found["p95"]["api"] > 0
    assert found["error_budget"]["remaining_pct"] == 100.0


async def test_metrics_show_what_was_served(served: Running) -> None:
    key = await served.key("metrics")
    await served.call("GET", "/v1/corpora", key)
    data = (await served.call("GET", "/v1/ops/metrics", key)).data
    assert data["latency_ms"]["read"]["2xx"]["p50"] > 0
    assert {"authentication", "role", "deciding"} <= set(data["segment_latency_ms"]["read"])
    assert data["db_pool"]["size"] >= 1
    assert data["gauges"]["ingest_queue_depth"] == 0
    assert any(name.endswith("http_requests_total") for name in data["counters"])
    assert {f"nexusrag_{name}_total" for name in COUNTERS} <= set(data["counters"])
    named = {"retrieval.aws_bedrock", "retrieval.gcp_vertex", "tts.openai", "billing.webhook"}
    assert {data["circuit_breaker_state"][name] for name in named} == {"closed"}


async def test_counters_of_the_contract_count(served: Running) -> None:
    key = await served.key("counted")
    before = (await served.call("GET", "/v1/ops/metrics", key)).data["counters"]
    await served.call("POST", "/v1/corpora", key, json={"id": "c", "name": "c"})
    await served.call("POST", "/v1/documents/text", key, json={"corpus_id": "c", "text": "hello world"})
    async with asyncio.timeout(20):
        while True:
            after = (await served.call("GET", "/v1/ops/metrics", key)).data["counters"]
            if after["nexusrag_ingest_succeeded_total"] > before["nexusrag_ingest_succeeded_total"]:
                break
            await asyncio.sleep(0.2)
    assert after["nexusrag_ingest_enqueued_total"] == before["nexusrag_ingest_enqueued_total"] + 1
    assert after["nexusrag_ingest_failed_total"] == before["nexusrag_ingest_failed_total"]


async def test_maintenance_runs_what_plugins_registered(served: Running) -> None:
    admin, root = await served.key("maint"), await served.key("maint", platform=True, user="root")
    refused = await served.call("POST", "/v1/admin/maintenance/run?task=prune_idempotency", admin)
    assert (refused.status, refused.code) == (403, "AUTH_FORBIDDEN")
    done = await served.call("POST", "/v1/admin/maintenance/run?task=prune_idempotency", root)
    assert done.data == {"task": "prune_idempotency", "status": "completed", "deleted_rows": 0}
    everything = await served.call("POST", "/v1/admin/maintenance/run?task=prune_retention_all", root)
    assert everything.status == 200
    unknown = await served.call("POST", "/v1/admin/maintenance/run?task=prune_idempotenc", root)
    assert unknown.status == 422
    assert "prune_idempotency" in unknown.body["error"]["message"]
    status = (await served.call("GET", "/v1/admin/retention/status", admin)).data
    assert status["last_run_by_task"]["prune_idempotency"] is not None
    assert status["tenant_id"] == "maint"
    assert status["configured_days"]["idempotency"] == 1
    assert {"audit", "usage", "ui_actions", "documents", "backups"} <= set(status["configured_days"])
    assert status["next_schedule"] == "idempotency.prune at 17 * * * *"


async def test_explain_finds_a_request_by_either_id_and_only_in_its_tenant(served: Running) -> None:
    key, foreign = await served.key("exp-a"), await served.key("exp-b")
    reader = await served.key("exp-a", "reader", user="r")
    sent = await served.call("GET", "/v1/corpora", key, headers={"X-Request-Id": "mine-1"})
    assert sent.headers["X-Request-Id"] == "mine-1"
    found = (await served.call("GET", "/v1/explain/mine-1", key)).data
    assert (found["path"], found["status"], found["client_request_id"]) == ("/v1/corpora", 200, "mine-1")
    assert [s["stage"] for s in found["steps"]][:2] == ["authentication", "role"]
    same = (await served.call("GET", f"/v1/explain/{found['request_id']}", key)).data
    assert same == found
    assert (await served.call("GET", "/v1/explain/mine-1", foreign)).status == 404
    refused = await served.call("DELETE", "/v1/corpora/none", reader, headers={"X-Request-Id": "no-1"})
    assert refused.status == 403
    why = (await served.call("GET", "/v1/explain/no-1", key)).data
    assert (why["status"], why["code"], why["steps"][-1]["verdict"]) == (403, "AUTH_FORBIDDEN", "deny")
