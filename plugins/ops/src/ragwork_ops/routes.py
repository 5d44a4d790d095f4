"""The routes of ``/v1/ops``, of maintenance, and ``/v1/explain``."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

import attrs
from ragwork_hooks.audit import AuditEvent, AuditLog, Origin
from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.documents import DocumentCatalog
from ragwork_hooks.http import AnyRoute, Call, NoFields, RateClass, Route
from ragwork_hooks.plugin import Services

from ragwork_ops import health, maintenance, metrics, slo
from ragwork_ops.config import OpsConfig
from ragwork_ops.explain import Explanations
from ragwork_ops.shapes import (
    ExplainResponse,
    FailureReason,
    HoursQuery,
    IngestionResponse,
    MaintenanceRunResponse,
    MetricsResponse,
    OpsHealthResponse,
    RetentionStatusResponse,
    SloResponse,
    TaskQuery,
)
from ragwork_ops.traffic import Traffic

FEATURE: Final = "ops_admin_access"
VIEW: Final = Action(name="ops.read", role=Role.ADMIN)
EXPLAIN: Final = Action(name="request.explain", role=Role.ADMIN)
MAINTAIN: Final = Action(name="maintenance.run", role=Role.ADMIN, platform=True)
RETENTION: Final = Action(name="retention.read", role=Role.ADMIN)


@attrs.frozen(kw_only=True)
class OpsRoutes:
    """Handlers over what was observed. Reads answer 200 while dependencies are degraded."""

    services: Services
    config: OpsConfig
    traffic: Traffic
    explanations: Explanations

    def routes(self) -> tuple[AnyRoute, ...]:
        return (
            self._view("health", "Dependencies, workers and queue", self.health, OpsHealthResponse),
            self._view("ingestion", "How ingestion goes", self.ingestion, IngestionResponse, HoursQuery),
            self._view("metrics", "Counters, gauges and latencies", self.metrics, MetricsResponse),
            self._view("slo", "Objectives and error budget", self.slo, SloResponse),
            _route(
                "explain.get", "GET", "/v1/explain/{request_id}", "Why a request was answered as it was",
                self.explain, EXPLAIN, "ops", ExplainResponse,
            ),
            _route(
                "maintenance.run", "POST", "/v1/admin/maintenance/run", "Run a maintenance task",
                self.maintain, MAINTAIN, "mutation", MaintenanceRunResponse,
                scope="platform", query=TaskQuery, audit_event="ops.maintenance.run", legacy=True,
            ),
            _route(
                "retention.status", "GET", "/v1/admin/retention/status", "How long rows are kept",
                self.retention, RETENTION, "read", RetentionStatusResponse, legacy=True,
            ),
        )  # fmt: skip

    def _view(self, name: str, summary: str, handler: Any, response: Any, query: type = NoFields) -> AnyRoute:
        """A read of ``/v1/ops``; that it was read is recorded when that is possible."""

        async def handle(call: Call[Any, Any]) -> object:
            answer = await handler(call)
            await self._viewed(call, name)
            return answer

        return _route(
            f"ops.{name}", "GET", f"/v1/ops/{name}", summary, handle, VIEW, "ops", response,
            feature=FEATURE, query=query, legacy=True,
        )  # fmt: skip

    async def health(self, _call: Call[Any, Any]) -> OpsHealthResponse:
        return await health.report(self.services, self.config.heartbeat_stale_after_s)

    async def ingestion(self, call: Call[Any, HoursQuery]) -> IngestionResponse:
        catalog = self.services.use_optional(DocumentCatalog)
        seen = await health.queue(self.services)
        answer = IngestionResponse(
            window_hours=call.query.hours,
            documents={"queued": 0, "processing": 0, "succeeded": 0, "failed": 0},
            durations_ms={"p50": None, "p95": None, "max": None},
            top_failure_reasons=[],
            queue_depth=seen.depth,
            worker_last_seen_at=health.last_seen(self.services, seen),
        )
        if catalog is None:
            return answer
        since = self.services.clock.now() - timedelta(hours=call.query.hours)
        async with self.services.db.tenant(call.principal.tenant_id, "read") as tx:
            found = await catalog.ingestion(tx, since)
        return attrs.evolve(
            answer,
            documents={**answer.documents, **found.by_status},
            durations_ms={**answer.durations_ms, **found.durations_ms},
            top_failure_reasons=[FailureReason(reason=r, count=n) for r, n in found.failures],
        )

    async def metrics(self, _call: Call[Any, Any]) -> MetricsResponse:
        seen = await health.queue(self.services)
        return metrics.collect(self.services, self.traffic, seen.depth)

    async def slo(self, _call: Call[Any, Any]) -> SloResponse:
        series = await self.traffic.last_hour()
        assessed = slo.assess(series, self.services.clock.now(), self.config)
        shown = metrics.collect(self.services, self.traffic, None)
        perf = {
            "route_latency_ms": shown.latency_ms,
            "segment_latency_ms": shown.segment_latency_ms,
            "db_pool": shown.db_pool,
        }
        return attrs.evolve(assessed, perf=perf)

    async def explain(self, call: Call[Any, Any]) -> ExplainResponse:
        return await self.explanations.find(call.principal.tenant_id, call.path["request_id"])

    async def maintain(self, call: Call[Any, TaskQuery]) -> MaintenanceRunResponse:
        return await maintenance.run(self.services, call.query.task)

    async def retention(self, call: Call[Any, Any]) -> RetentionStatusResponse:
        return await maintenance.status(self.services, call.principal.tenant_id)

    async def _viewed(self, call: Call[Any, Any], name: str) -> None:
        """Record the reading. Unlike a mutation's record it may be lost: this page is for bad days."""
        log = self.services.use_optional(AuditLog)
        if log is None:
            return
        caller = call.principal
        event = AuditEvent(
            type="ops.viewed",
            outcome="success",
            actor_type=caller.kind,
            actor_id=caller.credential_id,
            actor_role=caller.role.label,
            resource_type="ops",
            resource_id=name,
            origin=Origin(
                request_id=call.request_id,
                echo_id=call.echo_id,
                peer=call.peer,
                user_agent=call.headers.get("User-Agent") or "",
            ),
        )
        try:
            async with self.services.db.tenant(caller.tenant_id) as tx:
                await log.append(tx, event)
        except Exception:
            self.services.metrics.count("ops_unrecorded_views_total", "Views that could not be recorded.")


def _route(
    name: str,
    method: Any,
    path: str,
    summary: str,
    handler: Callable[[Call[Any, Any]], Awaitable[object]],
    action: Action,
    rate_class: RateClass,
    response: Any,
    **more: Any,
) -> AnyRoute:
    said: dict[str, Any] = {"scope": "tenant", "audit_event": None, "feature": None, **more}
    return Route(
        name=name,
        method=method,
        path=path,
        summary=summary,
        handler=handler,
        action=action,
        rate_class=rate_class,
        response=response,
        idempotency="none",
        stale_reads=False,
        # Each handler opens what it needs, so that a dead database degrades an answer and does not refuse it.
        transaction="none",
        errors=("SLO_DATA_UNAVAILABLE",) if name == "ops.slo" else (),
        **said,
    )
