"""What operators watch and run: health checks, maintenance tasks, metrics, spans."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import attrs


@attrs.frozen(kw_only=True)
class HealthCheck:
    """A dependency's state for health and metrics. ``check`` raises when it is down."""

    component: str
    check: Callable[[], Awaitable[None]]


@attrs.frozen(kw_only=True)
class Advice:
    """Something that works and could be better: ``where``, as an operator can find it, what it is, and what to do."""

    where: str
    message: str
    fix: str


@attrs.frozen(kw_only=True)
class Advisor:
    """Looks for what operators should know when ``ragwork doctor`` asks. The database is there; nobody is served."""

    name: str
    advise: Callable[[], Awaitable[Sequence[Advice]]]


@attrs.frozen(kw_only=True)
class MaintenanceTask:
    """A named chore an operator may run by hand; ``run`` gives the number of rows it removed or made, ``keeps_days``
    is the age from which it removes.
    """

    name: str
    run: Callable[[], Awaitable[int]]
    keeps_days: int | None = None


@attrs.frozen(kw_only=True)
class MetricSample:
    """One series: a counter's, gauge's or histogram bucket's name, labels and value."""

    name: str
    labels: Mapping[str, str]
    value: float


class Metrics(Protocol):
    """Prometheus metrics of one process. Names get the service's prefix unless they carry their own."""

    def count(self, name: str, help: str, **labels: str) -> None: ...
    def observe(self, name: str, help: str, seconds: float, **labels: str) -> None: ...
    def gauge(self, name: str, help: str, value: float, **labels: str) -> None: ...

    def read(self) -> Sequence["MetricSample"]:
        """Every series of this process as it stands now."""


class Tracer(Protocol):
    """Spans; without an exporter they cost next to nothing."""

    def span(
        self, name: str, **attributes: str | int | float | bool
    ) -> AbstractAsyncContextManager[None]: ...
