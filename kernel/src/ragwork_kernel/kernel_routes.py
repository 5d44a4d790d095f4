"""The kernel's own routes: health, readiness, metrics and the API's description."""

import asyncio
import hmac
import threading
from collections.abc import Callable
from typing import Any, Final

import attrs
from ragwork_hooks.errors import Problem, unauthenticated
from ragwork_hooks.http import AnyRoute, Area, Call, File, Route
from ragwork_hooks.plugin import Clock

from ragwork_kernel import codec, docs_page, openapi, replies
from ragwork_kernel.health import Health, HealthResponse
from ragwork_kernel.plan import Plan
from ragwork_kernel.telemetry import Telemetry

AREAS: Final = (
    Area(name="health", about="Whether the server lives and is ready. Never limited.", rank=60),
    Area(name="metrics", about="Figures for Prometheus.", rank=61),
    Area(name="openapi", about="This description.", rank=62),
)


@attrs.frozen(kw_only=True)
class KernelRoutes:
    """Declares the kernel's routes over its parts. ``plan`` is what all plugins contributed."""

    health: Health
    telemetry: Telemetry
    metrics_token: str | None
    title: str
    version: str
    clock: Clock
    plan: Plan
    _described: dict[str, bytes] = attrs.field(factory=dict, init=False)
    _describing: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def declare(self) -> tuple[AnyRoute, ...]:
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
            _public(
                "openapi.get",
                "/v1/openapi.json",
                "This API as OpenAPI 3.1",
                self._openapi,
                None,
            ),
            _public(
                "openapi.docs.get",
                "/v1/docs",
                "This API for people",
                self._docs,
                None,
                media_type="text/html",
            ),
        )

    async def _health(self, _call: Call[Any, Any]) -> HealthResponse:
        return self.health.report()

    async def _live(self, _call: Call[Any, Any]) -> File:
        body = {"status": "ok", "ts": self.clock.now()}
        return File(data=codec.dumps(body), mime=replies.JSON)

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
                raise unauthenticated("AUTH_UNAUTHORIZED", "metrics need the token of METRICS_TOKEN")
        return File(data=self.telemetry.expose(), mime="text/plain; version=0.0.4; charset=utf-8")

    async def _openapi(self, _call: Call[Any, Any]) -> File:
        data = await self._once("json", lambda: codec.dumps(self.document()))
        return File(data=data, mime=replies.JSON)

    async def _docs(self, _call: Call[Any, Any]) -> File:
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        page = await self._once("html", lambda: docs_page.render(self.document()).encode())
        return File(data=page, mime="text/html; charset=utf-8", headers=headers)

    async def _once(self, form: str, make: Callable[[], bytes]) -> bytes:
        """The description never changes while the server runs; making it must not hold up the loop."""
        if form not in self._described:
            await asyncio.to_thread(self._describe, form, make)
        return self._described[form]

    def _describe(self, form: str, make: Callable[[], bytes]) -> None:
        # One at a time, also when who asked has gone: Python's parser must not run in two threads.
        with self._describing:
            if form not in self._described:
                self._described[form] = make()

    def all(self) -> tuple[AnyRoute, ...]:
        """The kernel's routes and those of every plugin."""
        return (*self.declare(), *self.plan.routes)

    def document(self) -> dict[str, Any]:
        """The OpenAPI document."""
        gates = [gate for stage in self.plan.admits.values() for gate in stage]
        areas = (*AREAS, *self.plan.areas)
        return openapi.document(self.all(), self.title, self.version, areas, gates)


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
        errors=("SERVICE_UNAVAILABLE",) if name == "health.ready.get" else (),
        legacy=legacy,
    )
