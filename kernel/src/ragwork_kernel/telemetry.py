"""What the process says about itself: one access line per request, and Prometheus metrics with bounded labels."""

import logging
import re
from contextvars import ContextVar
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

access = logging.getLogger("ragwork.access")
request_id_var: ContextVar[str] = ContextVar("request_id", default="")


class Telemetry:
    """Metrics of one kernel instance. Implements ``ragwork_hooks.plugin.Metrics``."""

    def __init__(self, app_name: str) -> None:
        self._prefix = re.sub(r"[^a-zA-Z0-9_]", "_", app_name)
        self.registry = CollectorRegistry()
        self._requests = Counter(
            f"{self._prefix}_http_requests",
            "HTTP requests",
            ["method", "path", "status"],
            registry=self.registry,
        )
        self._durations = Histogram(
            f"{self._prefix}_http_request_duration_seconds",
            "Time to answer",
            ["method", "path"],
            registry=self.registry,
        )
        self._errors = Counter(
            f"{self._prefix}_http_errors", "Failed requests", ["type"], registry=self.registry
        )
        self._dependencies = Gauge(
            f"{self._prefix}_dependency_up",
            "1 when the dependency answers",
            ["component"],
            registry=self.registry,
        )
        self._own: dict[str, Counter | Histogram | Gauge] = {}

    def begin(self, request_id: str) -> None:
        request_id_var.set(request_id)

    def end(
        self,
        *,
        method: str,
        path: str,
        status: int,
        seconds: float,
        request_id: str,
        client_id: str,
        tenant: str,
    ) -> None:
        self._requests.labels(method, path, str(status)).inc()
        self._durations.labels(method, path).observe(seconds)
        access.info(
            "request",
            extra={
                "method": method,
                "path": path,
                "status": status,
                "ms": round(seconds * 1000, 1),
                "request_id": request_id,
                "client_id": client_id,
                "tenant": tenant,
            },
        )

    def error(self, kind: Literal["validation", "unhandled", "timeout"]) -> None:
        self._errors.labels(kind).inc()

    def dependency(self, component: str, up: bool) -> None:
        self._dependencies.labels(component).set(int(up))

    def expose(self) -> bytes:
        return generate_latest(self.registry)

    def count(self, name: str, help: str, **labels: str) -> None:
        metric = self._own.get(name)
        if metric is None:
            metric = self._own[name] = Counter(
                self._named(name), help, list(labels), registry=self.registry
            )
        if isinstance(metric, Counter):
            (metric.labels(**labels) if labels else metric).inc()

    def observe(self, name: str, help: str, seconds: float, **labels: str) -> None:
        metric = self._own.get(name)
        if metric is None:
            metric = self._own[name] = Histogram(
                self._named(name), help, list(labels), registry=self.registry
            )
        if isinstance(metric, Histogram):
            (metric.labels(**labels) if labels else metric).observe(seconds)

    def gauge(self, name: str, help: str, value: float, **labels: str) -> None:
        metric = self._own.get(name)
        if metric is None:
            metric = self._own[name] = Gauge(
                self._named(name), help, list(labels), registry=self.registry
            )
        if isinstance(metric, Gauge):
            (metric.labels(**labels) if labels else metric).set(value)

    def _named(self, name: str) -> str:
        return f"{self._prefix}_{name}"


def configure_logging(level: str) -> None:
    """JSON lines on standard error."""
    logging.basicConfig(level=level)
