"""The routes of ``/v1/ops``, of maintenance, and ``/v1/explain``."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

import attrs
from ragwork_hooks.audit import AuditDetails, AuditLog
from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.documents import DocumentCatalog
from ragwork_hooks.http import AnyRoute, Empty, Request, Route
from ragwork_hooks.services import Services
from ragwork_toolkit.audit_records import origin_of, success_of
from ragwork_toolkit.routes import ops_route, untransacted_route

from ragwork_ops import health, maintenance, metrics, slo
from ragwork_ops.config import OpsConfig
from ragwork_ops.explain import Explanations
from ragwork_ops.schemas import (
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
from ragwork_ops.traffic import RequestStats

Q = TypeVar("Q")
Handler = Callable[[Request[Empty, Q]], Awaitable[object]]

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
    traffic: RequestStats
    explanations: Explanations

    def routes(self) -> tuple[AnyRoute, ...]:
        # No transaction: each handler opens what it needs, so that a dead database degrades an answer and does not
        # refuse it.
        return (
            ops_route(
                name="ops.health", path="/v1/ops/health", summary="Dependencies, workers and queue",
                handler=self._recorded("health", self.health), action=VIEW, feature=FEATURE, transaction="none",
                response=OpsHealthResponse, legacy=True,
            ),
            ops_route(
                name="ops.ingestion", path="/v1/ops/ingestion", summary="How ingestion goes",
                handler=self._recorded("ingestion", self.ingestion), action=VIEW, feature=FEATURE,
                transaction="none", response=IngestionResponse, query=HoursQuery, legacy=True,
            ),
            ops_route(
                name="ops.metrics", path="/v1/ops/metrics", summary="Counters, gauges and latencies",
                handler=self._recorded("metrics", self.metrics), action=VIEW, feature=FEATURE,
                transaction="none", response=MetricsResponse, legacy=True,
            ),
            ops_route(
                name="ops.slo", path="/v1/ops/slo", summary="Objectives and error budget",
                handler=self._recorded("slo", self.slo), action=VIEW, feature=FEATURE, transaction="none",
                response=SloResponse, errors=("SLO_DATA_UNAVAILABLE",), legacy=True,
            ),
            ops_route(
                name="explain.get", path="/v1/explain/{request_id}",
                summary="Why a request was answered as it was", handler=self.explain, action=EXPLAIN,
                transaction="none", response=ExplainResponse,
            ),
            Route(
                name="maintenance.run", method="POST", path="/v1/admin/maintenance/run",
                summary="Run a maintenance task", handler=self.maintain, scope="platform", action=MAINTAIN,
                rate_class="mutation", idempotency="none", audit_event="ops.maintenance.run", feature=None,
                stale_reads=False, transaction="none", response=MaintenanceRunResponse, query=TaskQuery,
                legacy=True,
            ),
            untransacted_route(
                name="retention.status", method="GET", path="/v1/admin/retention/status",
                summary="How long rows are kept", handler=self.retention, action=RETENTION,
                rate_class="read", audit_event=None, response=RetentionStatusResponse, legacy=True,
            ),
        )  # fmt: skip

    def _recorded(self, name: str, handler: Handler[Q]) -> Handler[Q]:
        """``handler``; that it was asked is recorded when that is possible."""

        async def handle(request: Request[Empty, Q]) -> object:
            answer = await handler(request)
            await self._viewed(request, name)
            return answer

        return handle

    async def health(self, _call: Request[Empty, Empty]) -> OpsHealthResponse:
        return await health.report(self.services, self.config.heartbeat_stale_after_s)

    async def ingestion(self, request: Request[Empty, HoursQuery]) -> IngestionResponse:
        catalog = self.services.use_optional(DocumentCatalog)
        seen = await health.queue(self.services)
        answer = IngestionResponse(
            window_hours=request.query.hours,
            documents={"queued": 0, "processing": 0, "succeeded": 0, "failed": 0},
            durations_ms={"p50": None, "p95": None, "max": None},
            top_failure_reasons=[],
            queue_depth=seen.depth,
            worker_last_seen_at=health.last_seen(self.services, seen),
        )
        if catalog is None:
            return answer
        since = self.services.clock.now() - timedelta(hours=request.query.hours)
        async with self.services.db.tenant(request.principal.tenant_id, "read") as tx:
            found = await catalog.ingestion(tx, since)
        return attrs.evolve(
            answer,
            documents={**answer.documents, **found.by_status},
            durations_ms={**answer.durations_ms, **found.durations_ms},
            top_failure_reasons=[FailureReason(reason=r, count=n) for r, n in found.failures],
        )

    async def metrics(self, _call: Request[Empty, Empty]) -> MetricsResponse:
        seen = await health.queue(self.services)
        return metrics.collect(self.services, self.traffic, seen.depth)

    async def slo(self, _call: Request[Empty, Empty]) -> SloResponse:
        assessed = slo.assess(await slo.measure(self.services.registry.signals), self.config)
        shown = metrics.collect(self.services, self.traffic, None)
        perf = {
            "route_latency_ms": shown.latency_ms,
            "segment_latency_ms": shown.segment_latency_ms,
            "db_pool": shown.db_pool,
        }
        return attrs.evolve(assessed, perf=perf)

    async def explain(self, request: Request[Empty, Empty]) -> ExplainResponse:
        return await self.explanations.find(request.principal.tenant_id, request.path["request_id"])

    async def maintain(self, request: Request[Empty, TaskQuery]) -> MaintenanceRunResponse:
        return await maintenance.run(self.services, request.query.task)

    async def retention(self, request: Request[Empty, Empty]) -> RetentionStatusResponse:
        return await maintenance.status(self.services, request.principal.tenant_id)

    async def _viewed(self, request: Request[Any, Any], name: str) -> None:
        """Record the reading. Unlike a mutation's record it may be lost: this page is for bad days."""
        log = self.services.use_optional(AuditLog)
        if log is None:
            return
        caller = request.principal
        details = AuditDetails(resource_type="ops", resource_id=name)
        event = success_of(caller, "ops.viewed", details, origin_of(request))
        try:
            async with self.services.db.tenant(caller.tenant_id) as tx:
                await log.append(tx, event)
        except Exception:
            self.services.metrics.count("ops_unrecorded_views_total", "Views that could not be recorded.")
