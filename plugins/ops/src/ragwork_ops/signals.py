"""What all processes served, as signals: ``/v1/ops/slo`` reads them, and whoever joins signals of many plugins."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import attrs

from ragwork_ops.traffic import MinuteStats, Series, total

CLASSES: Final = ("run", "api", "documents_text")
AVAILABILITY: Final = "slo.availability"


def latency_of(name: str) -> str:
    """The name of the signal of one class of requests."""
    return f"slo.p95_ms.{name}"


class SharedReading:
    """Signals that are asked at the same time share one reading of the series."""

    def __init__(self, read: Callable[[], Awaitable[Series]]) -> None:
        self._read = read
        self._under_way: asyncio.Future[Series] | None = None

    async def series(self) -> Series:
        """What was served in the last hour."""
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.ensure_future(self._read())
        # One who leaves does not take the reading from the others.
        return await asyncio.shield(self._under_way)


@attrs.frozen(kw_only=True)
class ServedSignal:
    """Implements ``ragwork_hooks.governance.Signal``: a figure of the requests of ``classes``."""

    name: str
    unit: str
    classes: tuple[str, ...]
    figure: Callable[[MinuteStats], float | None]
    reading: SharedReading
    now: Callable[[], datetime]

    async def value(self, tenant_id: str | None, window: timedelta) -> float | None:
        """Of at most the last hour. ``None`` for a tenant, too: what was served is not kept by tenant."""
        if tenant_id is not None:
            return None
        return self.figure(total(await self.reading.series(), self.classes, self.now() - window))


def signals(read: Callable[[], Awaitable[Series]], now: Callable[[], datetime]) -> tuple[ServedSignal, ...]:
    """Availability of all classes, and the latency of each; ``read`` gives the last hour."""
    reading = SharedReading(read)
    availability = ServedSignal(
        name=AVAILABILITY, unit="percent", classes=CLASSES, figure=_available, reading=reading, now=now
    )
    latencies = [
        ServedSignal(
            name=latency_of(name), unit="milliseconds", classes=(name,), figure=_p95, reading=reading, now=now
        )
        for name in CLASSES
    ]
    return (availability, *latencies)


def _available(served: MinuteStats) -> float | None:
    """Percent of requests without a server error."""
    return 100 * (1 - served.errors / served.requests) if served.requests else None


def _p95(served: MinuteStats) -> float | None:
    return served.latency.percentile(0.95)
