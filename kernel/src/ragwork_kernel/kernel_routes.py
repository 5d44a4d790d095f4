"""The kernel's own routes: health, readiness, metrics and the API's description."""

import hmac
from collections.abc import Callable
from typing import Any

import attrs
from ragwork_hooks.errors import Problem
from ragwork_hooks.http import AnyRoute, Call, File, Route

from ragwork_kernel import codec, docs_page, openapi
from ragwork_kernel.health import Health, HealthResponse
from ragwork_kernel.telemetry import Telemetry


@attrs.frozen(kw_only=True)
class KernelRoutes:
    """Declares the kernel's routes over its parts. ``routes`` gives all routes, these included."""

    health: Health
    telemetry: Telemetry
    metrics_token: str | None
    title: str
    version: str
    routes: Callable[[], tuple[AnyRoute, ...]]

    def declare(self) -> tuple[AnyRoute, ...]:
        return (
            _public(
                "health.get",
                "/v1/health",
                "Liveness and the state of dependencies",
                self._health,
                HealthResponse,
                legacy=True,
            ),
            _public("health.live", "/v1/healthz", "Liveness", self._live, None, media_type="text/plain"),
            _public(
                "health.ready",
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
            _public(
                "openapi.get",
                "/v1/openapi.json",
                "This API as OpenAPI 3.1",
                self._openapi,
                None,
                media_type="application/openapi+json",
            ),
            _public(
                "openapi.docs", "/v1/docs", "This API for people", self._docs, None, media_type="text/html"
            ),
        )

    async def _health(self, _call: Call[Any, Any]) -> HealthResponse:
        return self.health.report()

    async def _live(self, _call: Call[Any, Any]) -> File:
        return File(data=b"ok\n", mime="text/plain; charset=utf-8")

    async def _ready(self, _call: Call[Any, Any]) -> HealthResponse:
        report = self.health.report()
        if not self.health.ready:
            raise Problem(
                "SERVICE_UNAVAILABLE", f"not ready: {report.status}", details={"status": report.status}
            )
        return report

    async def _metrics(self, call: Call[Any, Any]) -> File:
        if self.metrics_token is not None:
            sent = call.headers.get("Authorization") or ""
            if not hmac.compare_digest(sent.encode(), f"Bearer {self.metrics_token}".encode()):
                raise Problem("AUTH_UNAUTHORIZED", "metrics need the token of METRICS_TOKEN")
        return File(data=self.telemetry.expose(), mime="text/plain; version=0.0.4; charset=utf-8")

    async def _openapi(self, _call: Call[Any, Any]) -> File:
        return File(data=codec.dumps(self.document()), mime="application/json")

    async def _docs(self, _call: Call[Any, Any]) -> File:
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        page = docs_page.render(self.document())
        return File(data=page.encode(), mime="text/html; charset=utf-8", headers=headers)

    def document(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return openapi.document(self.routes(), self.title, self.version)


def _public(
    name: str,
    path: str,
    summary: str,
    handler: Callable[[Call[Any, Any]], Any],
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
        rate_class="probe" if name.startswith(("health.", "metrics.")) else "public",
        idempotency="none",
        audit_event=None,
        feature=None,
        stale_reads=False,
        transaction="none",
        response=response,
        media_type=media_type,
        errors=("SERVICE_UNAVAILABLE",) if name == "health.ready" else (),
        legacy=legacy,
    )
