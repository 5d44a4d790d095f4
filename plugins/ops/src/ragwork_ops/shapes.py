"""Requests and answers of the operators' routes, as the wire contract names them."""

from collections.abc import Mapping

import attrs
from ragwork_hooks import fields


@attrs.frozen(kw_only=True)
class ScheduleHealth:
    """A job on a schedule: when it last succeeded, and why its latest run did not."""

    name: str
    last_started_at: str | None
    last_success_at: str | None
    failure: str | None


@attrs.frozen(kw_only=True)
class OpsHealthResponse:
    """``status``, ``api``, ``db`` and ``redis`` are ok or degraded; what can't be known is null. A schedule
    whose latest run failed degrades it, so that nothing stops in silence.
    """

    status: str
    api: str
    db: str
    redis: str
    worker_heartbeat_age_s: float | None
    operability_worker_heartbeat_age_s: float | None
    queue_depth: int | None
    schedules: list[ScheduleHealth]
    timestamp: str


@attrs.frozen(kw_only=True)
class HoursQuery:
    hours: int = fields.number(default=24, ge=1, le=168)


@attrs.frozen(kw_only=True)
class FailureReason:
    reason: str
    count: int


@attrs.frozen(kw_only=True)
class IngestionResponse:
    window_hours: int
    documents: Mapping[str, int]
    durations_ms: Mapping[str, float | None]
    top_failure_reasons: list[FailureReason]
    queue_depth: int | None
    worker_last_seen_at: str | None


@attrs.frozen(kw_only=True)
class P95:
    """Milliseconds by class; null where nothing was served."""

    run: float | None
    api: float | None
    documents_text: float | None


@attrs.frozen(kw_only=True)
class ErrorBudget:
    """``burn_rate_5m`` of 1 uses the budget up exactly when the objective allows it."""

    remaining_pct: float
    burn_rate_5m: float


@attrs.frozen(kw_only=True)
class SloResponse:
    window: str
    availability: float
    availability_5m: float
    p95: P95
    error_budget: ErrorBudget
    perf: Mapping[str, object]
    status: str


@attrs.frozen(kw_only=True)
class MetricsResponse:
    """This process's counters and gauges by name, and latencies in milliseconds."""

    counters: Mapping[str, float]
    gauges: Mapping[str, float | None]
    telemetry_gauges: Mapping[str, float]
    latency_ms: Mapping[str, Mapping[str, Mapping[str, float | None]]]
    segment_latency_ms: Mapping[str, Mapping[str, Mapping[str, float | None]]]
    external_call_latency_ms: Mapping[str, Mapping[str, float | None]]
    sse_stream_duration_ms: Mapping[str, float | None]
    db_pool: Mapping[str, float]
    circuit_breaker_state: Mapping[str, str]


@attrs.frozen(kw_only=True)
class TaskQuery:
    task: str = fields.text(min_length=1, max_length=128)


@attrs.frozen(kw_only=True)
class MaintenanceRunResponse:
    task: str
    status: str
    deleted_rows: int


@attrs.frozen(kw_only=True)
class RetentionStatusResponse:
    tenant_id: str
    configured_days: Mapping[str, int | None]
    last_run_by_task: Mapping[str, str | None]
    next_schedule: str


@attrs.frozen(kw_only=True)
class ExplainedStep:
    """One gate: what it said, the limits it named, and the time it took."""

    stage: str
    gate: str
    verdict: str
    code: str | None
    limits: Mapping[str, str]
    ms: float


@attrs.frozen(kw_only=True)
class ExplainResponse:
    """One request as the gates saw it. ``client_request_id`` is the id that its answer carried."""

    request_id: str
    client_request_id: str
    actor_id: str | None
    method: str
    path: str
    route: str
    rate_class: str
    status: int
    code: str | None
    total_ms: float
    deciding_ms: float
    steps: list[ExplainedStep]
