"""Service level objectives against what was served in the last hour."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

import attrs
from ragwork_hooks.errors import Problem
from ragwork_hooks.governance import Signal

from ragwork_ops.config import OpsConfig
from ragwork_ops.schemas import P95, ErrorBudget, SloResponse
from ragwork_ops.signals import AVAILABILITY, CLASSES, latency_of
from ragwork_ops.traffic import WINDOW

_SHORT: Final = timedelta(minutes=5)


@attrs.frozen(kw_only=True)
class Measured:
    """The signals' values. Shares in percent, ``p95`` in milliseconds by class; ``None`` where nothing was served."""

    availability: float | None
    availability_5m: float | None
    p95: Mapping[str, float | None]


async def measure(signals: Iterable[Signal]) -> Measured:
    """Read the objectives' signals, all at once."""
    by_name = {signal.name: signal for signal in signals}
    hour, recent, *latencies = await asyncio.gather(
        by_name[AVAILABILITY].value(None, WINDOW),
        by_name[AVAILABILITY].value(None, _SHORT),
        *(by_name[latency_of(name)].value(None, WINDOW) for name in CLASSES),
    )
    return Measured(availability=hour, availability_5m=recent, p95=dict(zip(CLASSES, latencies, strict=True)))


def assess(measured: Measured, config: OpsConfig) -> SloResponse:
    """Raises ``Problem`` 503 SLO_DATA_UNAVAILABLE when nothing was served."""
    availability = measured.availability
    if availability is None:
        raise Problem("SLO_DATA_UNAVAILABLE", "nothing was served in the last hour, so nothing is known")
    availability_5m = 100.0 if measured.availability_5m is None else measured.availability_5m
    p95, allowed = measured.p95, 100 - config.availability_target
    budget = ErrorBudget(
        remaining_pct=round(max(0.0, 100 * (1 - (100 - availability) / allowed)), 2),
        burn_rate_5m=round((100 - availability_5m) / allowed, 2),
    )
    slow = (p95["run"] or 0) > config.p95_run_ms or (p95["api"] or 0) > config.p95_api_ms
    if availability < config.availability_target or slow:
        status = "breached"
    else:
        status = "at_risk" if budget.burn_rate_5m > 1 or budget.remaining_pct < 25 else "healthy"
    return SloResponse(
        window="1h",
        availability=round(availability, 4),
        availability_5m=round(availability_5m, 4),
        p95=P95(run=p95["run"], api=p95["api"], documents_text=p95["documents_text"]),
        error_budget=budget,
        perf={},
        status=status,
    )
