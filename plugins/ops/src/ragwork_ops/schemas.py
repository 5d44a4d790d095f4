"""Requests and answers of the operators' routes, as the wire contract names them."""

from collections.abc import Mapping

import attrs
from ragwork_hooks import fields


@attrs.frozen(kw_only=True)
class ScheduleHealth:
    """A job on a schedule: when it last succeeded, and why its latest run did not."""

    #: The schedule. Example: "audit.verify"
    name: str
    #: When it last began; null if never. Example: "2026-01-05T03:17:00+00:00"
    last_started_at: str | None
    #: When it last succeeded; null if never. Example: "2026-01-05T03:17:02+00:00"
    last_success_at: str | None
    #: Why its latest run failed; null if it did not. Example: null
    failure: str | None


@attrs.frozen(kw_only=True)
class OpsHealthResponse:
    """``status``, ``api``, ``db`` and ``redis`` are ok or degraded; what nobody configured is off, and what can't be
    known is null. A schedule whose latest run failed degrades it, so that nothing stops in silence.
    """

    #: `ok` or `degraded`. Example: "ok"
    status: str
    #: `ok`. Example: "ok"
    api: str
    #: `ok` or `degraded`. Example: "ok"
    db: str
    #: `ok`, `degraded`, or `off` without `REDIS_URL`. Example: "ok"
    redis: str
    #: Seconds since a worker was last seen; null if none ever was. Example: 0.4
    worker_heartbeat_age_s: float | None
    #: The same of the worker that evaluates alerts; null without one. Example: null
    operability_worker_heartbeat_age_s: float | None
    #: Jobs that wait; null while nobody knows. Example: 0
    queue_depth: int | None
    #: Jobs that run by the clock.
    schedules: list[ScheduleHealth]
    #: When this was seen. Example: "2026-01-05T09:30:00+00:00"
    timestamp: str


@attrs.frozen(kw_only=True)
class HoursQuery:
    """A window."""

    #: How many hours up to now.
    hours: int = fields.number(default=24, ge=1, le=168)


@attrs.frozen(kw_only=True)
class FailureReason:
    """A reason that documents failed for."""

    #: The reason. Example: "INGEST_VALIDATION_ERROR: no text"
    reason: str
    #: How many. Example: 2
    count: int


@attrs.frozen(kw_only=True)
class IngestionResponse:
    """How ingestion went."""

    #: The hours that were asked about. Example: 24
    window_hours: int
    #: Documents by state. Example: {"queued": 0, "processing": 1, "succeeded": 40, "failed": 2}
    documents: Mapping[str, int]
    #: How long ingestion took, in milliseconds; null for nothing measured. Example: {"p50": 12.0, "p95":
    #: 80.0, "max": 140.0}
    durations_ms: Mapping[str, float | None]
    #: Reasons, the most frequent first.
    top_failure_reasons: list[FailureReason]
    #: Jobs that wait; null while nobody knows. Example: 0
    queue_depth: int | None
    #: When a worker was last seen; null if never. Example: "2026-01-05T09:30:00+00:00"
    worker_last_seen_at: str | None


@attrs.frozen(kw_only=True)
class P95:
    """Milliseconds by class; null where nothing was served."""

    #: Questions. Example: 900.0
    run: float | None
    #: Everything else. Example: 35.0
    api: float | None
    #: Texts handed in. Example: 48.0
    documents_text: float | None


@attrs.frozen(kw_only=True)
class ErrorBudget:
    """``burn_rate_5m`` of 1 uses the budget up exactly when the objective allows it."""

    #: Per cent of the budget that is left. Example: 87.2
    remaining_pct: float
    #: How fast the last five minutes used it. Example: 0.4
    burn_rate_5m: float


@attrs.frozen(kw_only=True)
class SloResponse:
    """Service levels of the last hour."""

    #: Always `1h`. Example: "1h"
    window: str
    #: Per cent of requests that were served. Example: 99.95
    availability: float
    #: The same of the last five minutes. Example: 100.0
    availability_5m: float
    #: The 95th percentiles.
    p95: P95
    #: What failures are left.
    error_budget: ErrorBudget
    #: Latencies by route and segment, and the pool. Example: {}
    perf: Mapping[str, object]
    #: `healthy`, `at_risk` or `breached`. Example: "healthy"
    status: str


@attrs.frozen(kw_only=True)
class MetricsResponse:
    """This process's counters and gauges by name, and latencies in milliseconds."""

    #: Totals since the start, by name. Example: {"nexusrag_ingest_enqueued_total": 42}
    counters: Mapping[str, float]
    #: What stands now, by name. Example: {"ingest_queue_depth": 0}
    gauges: Mapping[str, float | None]
    #: Gauges of the process itself. Example: {}
    telemetry_gauges: Mapping[str, float]
    #: By route class and kind of status. Example: {"read": {"2xx": {"p50": 12.0, "p95": 80.0, "max":
    #: 140.0}}}
    latency_ms: Mapping[str, Mapping[str, Mapping[str, float | None]]]
    #: By route class and part of the work. Example: {}
    segment_latency_ms: Mapping[str, Mapping[str, Mapping[str, float | None]]]
    #: By integration. Example: {}
    external_call_latency_ms: Mapping[str, Mapping[str, float | None]]
    #: How long streams lasted. Example: {"p95": 2100.0, "max": 4000.0}
    sse_stream_duration_ms: Mapping[str, float | None]
    #: Connections: size, checked out, checked in, overflow. Example: {"size": 10, "checked_out": 1,
    #: "checked_in": 9, "overflow": 0}
    db_pool: Mapping[str, float]
    #: `closed`, `open` or `half_open`, by integration. Example: {"tts.openai": "closed"}
    circuit_breaker_state: Mapping[str, str]


@attrs.frozen(kw_only=True)
class TaskQuery:
    """Which task."""

    #: The task's name; an unknown one answers with all there are. Example: "prune_idempotency"
    task: str = fields.text(min_length=1, max_length=128)


@attrs.frozen(kw_only=True)
class MaintenanceRunResponse:
    """What a task did."""

    #: The task. Example: "prune_idempotency"
    task: str
    #: `completed`. Example: "completed"
    status: str
    #: Rows that it removed. Example: 12
    deleted_rows: int


@attrs.frozen(kw_only=True)
class RetentionStatusResponse:
    """How long rows are kept."""

    #: The tenant. Example: "t1"
    tenant_id: str
    #: Days by kind of row; null where nothing is removed by age. Example: {"audit": 365}
    configured_days: Mapping[str, int | None]
    #: When each task last ran; null if never. Example: {"prune_audit": "2026-01-05T03:47:00+00:00"}
    last_run_by_task: Mapping[str, str | None]
    #: When the next one runs. Example: "2026-01-06T03:37:00+00:00"
    next_schedule: str


@attrs.frozen(kw_only=True)
class ExplainedStep:
    """One gate: what it said, the limits it named, and the time it took."""

    #: Where it stands in the order. Example: "rate"
    stage: str
    #: The gate. Example: "ratelimit.buckets"
    gate: str
    #: `allow` or `deny`. Example: "allow"
    verdict: str
    #: Why it denied; null if it did not. Example: null
    code: str | None
    #: The limits that it named. Example: {}
    limits: Mapping[str, str]
    #: Milliseconds that it took. Example: 0.2
    ms: float


@attrs.frozen(kw_only=True)
class ExplainResponse:
    """One request as the gates saw it. ``client_request_id`` is the id that its answer carried."""

    #: The server's own id. Example: "72c03e54-1d1c-4d06-9e19-0f607e817820"
    request_id: str
    #: The id that the answer carried. Example: "my-request-1"
    client_request_id: str
    #: The credential; null before it was known. Example: "k_3f9a"
    actor_id: str | None
    #: The method. Example: "GET"
    method: str
    #: The path. Example: "/v1/corpora"
    path: str
    #: The operation. Example: "corpora.list"
    route: str
    #: What it was limited as. Example: "read"
    rate_class: str
    #: The answer's status. Example: 200
    status: int
    #: Why it was refused; null if it was not. Example: null
    code: str | None
    #: Milliseconds in all. Example: 4.1
    total_ms: float
    #: Milliseconds until it was decided. Example: 1.2
    deciding_ms: float
    #: What each gate said, in order.
    steps: list[ExplainedStep]
