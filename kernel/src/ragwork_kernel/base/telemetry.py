"""What the process says about itself: redacted JSON logs, and Prometheus metrics with bounded labels."""

import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar

import orjson
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
    values,
)
from ragwork_hooks.credentials import CredentialFormat
from ragwork_hooks.operations import MetricSample
from ragwork_hooks.redaction import Redactor

from ragwork_kernel.base.redaction import redact, redact_text
from ragwork_kernel.base.shares import SharesFactory

access = logging.getLogger("ragwork.access")
request_id_var: ContextVar[str] = ContextVar("request_id", default="")

OTHER: Final = "other"
#: Label sets of one metric; what comes beyond is counted under ``other``.
#: Names that the seed fixes without a service's prefix.
SHARED_PREFIX = "integrations_"
MAX_SERIES: Final = 500
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30)
_RECORD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

#: Where the processes of one server keep their metrics; the name is the library's.
_SHARED_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"

Metric = TypeVar("Metric", Counter, Histogram, Gauge)
GaugeMode: TypeAlias = Literal["livesum", "livemin", "mostrecent"]


class Telemetry:
    """Metrics of one kernel instance. Implements ``ragwork_hooks.operations.Metrics``."""

    def __init__(self, app_name: str) -> None:
        self._prefix = _metric_prefix(app_name)
        self.registry = CollectorRegistry()
        self.shares = SharesFactory(self._prefix)
        self._shared = os.environ.get(_SHARED_FOLDER)
        if self._shared is None:
            self.registry.register(self.shares)
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
            buckets=_BUCKETS_S,
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
            multiprocess_mode="livemin",
        )
        self._own: dict[str, Counter | Histogram | Gauge] = {}
        self._children: dict[tuple[str, ...], Counter | Histogram | Gauge] = {}
        self._series: dict[str, int] = {}
        self._counted: dict[tuple[str, ...], float] = {}
        # Looking a child up by its labels costs more than counting on it.
        self._ends: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def begin(self, request_id: str) -> None:
        """Log lines of this task carry ``request_id`` from now on."""
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
        """Count a finished request and write its access line; ``path`` is a route's template or ``other``."""
        label = method if method in _METHODS else OTHER
        ends = self._ends.get((label, path, status))
        if ends is None:
            ends = (
                self._requests.labels(label, path, str(status)),
                self._durations.labels(label, path),
            )
            self._ends[label, path, status] = ends
        ends[0].inc()
        ends[1].observe(seconds)
        if access.isEnabledFor(logging.INFO):
            access.info(
                "request",
                extra={
                    "method": label,
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

    def pool(self, connections: Mapping[str, int]) -> None:
        """Database connections by state; called every second or so."""
        for state, number in connections.items():
            self.level("db_pool_connections", "Database connections", number, state=state)
        if self._shared is not None:
            self._share_places()

    def expose(self) -> bytes:
        """The text exposition format, version 0.0.4; of every process that ``share_metrics`` put together."""
        if self._shared is None:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        library: Any = multiprocess
        library.MultiProcessCollector(together, self._shared)
        return generate_latest(together)

    def count(self, name: str, help: str, **labels: str) -> None:
        self._child(Counter, name, help, labels).inc()

    def observe(self, name: str, help: str, seconds: float, **labels: str) -> None:
        self._child(Histogram, name, help, labels).observe(seconds)

    def gauge(self, name: str, help: str, value: float, **labels: str) -> None:
        """Of several processes the last that said something is right."""
        self._child(Gauge, name, help, labels).set(value)

    def level(self, name: str, help: str, value: float, **labels: str) -> None:
        """A gauge of what each process has for itself: theirs add up."""
        self._child(Gauge, name, help, labels, "livesum").set(value)

    def read(self) -> Sequence[MetricSample]:
        return [
            MetricSample(name=sample.name, labels=sample.labels, value=sample.value)
            for family in self.registry.collect()
            for sample in family.samples
        ]

    def _share_places(self) -> None:
        """Other processes read what is written into files and can't ask a collector of this one: write its figures."""
        for family in self.shares.collect():
            for name, labels, value, *_ in family.samples:
                if family.type == "gauge":
                    self._child(Gauge, name, family.documentation, labels, "livesum").set(value)
                else:
                    counter = self._child(Counter, name, family.documentation, labels)
                    key = (name, *labels.values())
                    counter.inc(max(value - self._counted.get(key, 0.0), 0.0))
                    self._counted[key] = value

    def _child(
        self,
        kind: type[Metric],
        name: str,
        help: str,
        labels: dict[str, str],
        mode: GaugeMode = "mostrecent",
    ) -> Metric:
        """The series of ``labels``. Raises ``ValueError`` when the name has another kind or other labels."""
        key = (name, *labels, *labels.values())
        child = self._children.get(key)
        if child is None:
            metric = self._metric(kind, name, help, tuple(labels), mode)
            if self._series.get(name, 0) >= MAX_SERIES:
                labels = dict.fromkeys(labels, OTHER)
                child = metric.labels(**labels)
            else:
                self._series[name] = self._series.get(name, 0) + 1
                child = self._children[key] = metric.labels(**labels) if labels else metric
        if not isinstance(child, kind):
            raise ValueError(f"metric {name!r} is a {type(child).__name__}, not a {kind.__name__}")
        return child

    def _metric(
        self, kind: type[Metric], name: str, help: str, labels: tuple[str, ...], mode: GaugeMode
    ) -> Metric:
        metric = self._own.get(name)
        if metric is None:
            own = name.startswith((f"{self._prefix}_", SHARED_PREFIX))
            full = name if own else f"{self._prefix}_{name}"
            more: Any = {"multiprocess_mode": mode} if kind is Gauge else {}
            metric = self._own[name] = kind(full, help, labels, registry=self.registry, **more)
        if not isinstance(metric, kind):
            raise ValueError(f"metric {name!r} is a {type(metric).__name__}, not a {kind.__name__}")
        return metric


def share_metrics(folder: Path, number: int) -> None:
    """Keep what this process counts in files of ``folder``, where every process that does so finds it.

    To be called before the first metric is made. No two living processes have the same ``number``; who gets one
    again goes on where the last one stopped, so that no counter falls and there are no more files than numbers.
    """
    os.environ[_SHARED_FOLDER] = str(folder)
    library: Any = values
    library.ValueClass = library.MultiProcessValue(lambda: number)


def forget_levels(folder: Path, number: int) -> None:
    """The process of ``number`` has ended: it has no connections and holds no places any more."""
    library: Any = multiprocess
    library.mark_process_dead(number, str(folder))


class RedactingFormatter(logging.Formatter):
    """A formatter whose every text passes ``redactor``. Kernels of this process teach it what their plugins mint."""

    def __init__(self) -> None:
        super().__init__()
        self.redactor = Redactor()

    def clean(self, text: str) -> str:
        return redact_text(text, self.redactor)


class JsonFormatter(RedactingFormatter):
    """One JSON object a line; every text in it, tracebacks included, has passed redaction."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": self.clean(_message(record)),
        }
        request_id = request_id_var.get()
        if request_id:
            line["request_id"] = request_id
        for name, value in _extra(record).items():
            line[name] = redact(value, self.redactor, name)
        if record.exc_info:
            line["exception"] = self.clean(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = self.clean(self.formatStack(record.stack_info))
        return orjson.dumps(line, default=repr).decode()


class TextFormatter(RedactingFormatter):
    """The same for a person at a terminal: time, level, message, then what else the line has; redacted alike."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {"request_id": request_id_var.get(), **_extra(record)}
        parts = [
            f"{datetime.fromtimestamp(record.created):%H:%M:%S}",
            f"{record.levelname:<7}",
            self.clean(_message(record)),
            *(
                f"{name}={redact(value, self.redactor, name)}"
                for name, value in fields.items()
                if value != ""
            ),
        ]
        if record.exc_info:
            parts.append("\n" + self.clean(self.formatException(record.exc_info)))
        return " ".join(parts)


def configure_logging(level: str) -> None:
    """Log lines on standard error for the whole process, from ``level`` on: text on a terminal, JSON else.
    Replaces what was set before.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter() if sys.stderr.isatty() else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)


def _extra(record: logging.LogRecord) -> Mapping[str, object]:
    """What the line was given beside its message."""
    return {n: v for n, v in vars(record).items() if n not in _RECORD_FIELDS and v != ""}


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        # Arguments that don't fit the format must not cost the line.
        return str(record.msg)


def _metric_prefix(app_name: str) -> str:
    name = re.sub(r"[^a-zA-Z0-9_]", "_", app_name) or "ragwork"
    return f"_{name}" if name[0].isdigit() else name


def teach_logging(formats: Iterable[CredentialFormat], values: Iterable[str]) -> None:
    """Keep these credentials out of the process's log lines, too."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, RedactingFormatter):
            handler.formatter.redactor.learn(formats, values)
