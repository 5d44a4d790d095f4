"""The kernel's own routes: health, readiness and metrics."""

import hmac
from collections.abc import Callable
from typing import Any, Final

import attrs
from ragwork_hooks.errors import Problem, unauthenticated
from ragwork_hooks.http import AnyRoute, Area, File, Request, Route
from ragwork_hooks.plugin import Contribution
from ragwork_hooks.services import Clock

from ragwork_kernel.base import json_codec
from ragwork_kernel.base.telemetry import Telemetry
from ragwork_kernel.boot.health import Health, HealthResponse
from ragwork_kernel.request import responses

_AREAS: Final = (
    Area(name="health", about="Whether the server lives and is ready. Never limited.", rank=60),
    Area(name="metrics", about="Figures for Prometheus.", rank=61),
)


@attrs.frozen(kw_only=True)
class KernelRoutes:
    """Declares the kernel's routes over its parts."""

    health: Health
    telemetry: Telemetry
    metrics_token: str | None
    clock: Clock

    def contribution(self) -> Contribution:
        """The routes, with the areas that they stand in."""
        return Contribution(routes=self._declare(), areas=_AREAS)

    def _declare(self) -> tuple[AnyRoute, ...]:
        return (
            _public(
                "health.health.get",
                "/v1/health",
                "Liveness and the state of dependencies",
                self._health,
                HealthResponse,
                legacy=True,
            ),
            _public(
                "health.live.get",
                "/v1/healthz",
                "Liveness, without an envelope",
                self._live,
                None,
                legacy=True,
            ),
            _public(
                "health.ready.get",
                "/v1/readyz",
                "Readiness: 503 while starting, draining or without database",
                self._ready,
                HealthResponse,
            ),
            _public(
                "metrics.get",
                "/v1/metrics",
                "Prometheus metrics",
                self._metrics,
                None,
                media_type="text/plain",
                legacy=True,
            ),
        )

    async def _health(self, _call: Request[Any, Any]) -> HealthResponse:
        return self.health.report()

    async def _live(self, _call: Request[Any, Any]) -> File:
        body = {"status": "ok", "ts": self.clock.now()}
        return File(data=json_codec.dumps(body), mime=responses.JSON)

    async def _ready(self, _call: Request[Any, Any]) -> HealthResponse:
        report = self.health.report()
        if not self.health.ready:
            raise Problem(
                "SERVICE_UNAVAILABLE", f"not ready: {report.status}", details={"status": report.status}
            )
        return report

    async def _metrics(self, request: Request[Any, Any]) -> File:
        if self.metrics_token is not None:
            sent = request.headers.get("Authorization") or ""
            if not hmac.compare_digest(sent.encode(), f"Bearer {self.metrics_token}".encode()):
                raise unauthenticated("AUTH_UNAUTHORIZED", "metrics need the token of METRICS_TOKEN")
        return File(data=self.telemetry.expose(), mime="text/plain; version=0.0.4; charset=utf-8")


def _public(
    name: str,
    path: str,
    summary: str,
    handler: Callable[[Request[Any, Any]], Any],
    response: Any,
    *,
    media_type: str = "application/json",
    legacy: bool = False,
) -> AnyRoute:
    return Route(
        name=name,
        method="GET",
        path=path,
        summary=summary,
        handler=handler,
        scope="public",
        action=None,
        rate_class="probe",
        idempotency="none",
        audit_event=None,
        feature=None,
        stale_reads=False,
        transaction="none",
        response=response,
        media_type=media_type,
        errors=("SERVICE_UNAVAILABLE",) if name == "health.ready.get" else (),
        legacy=legacy,
    )
