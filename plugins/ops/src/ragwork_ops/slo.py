"""Service level objectives against what was served in the last hour."""

from datetime import datetime, timedelta

from ragwork_hooks.errors import Problem

from ragwork_ops.config import OpsConfig
from ragwork_ops.shapes import P95, ErrorBudget, SloResponse
from ragwork_ops.traffic import WINDOW, Series, total

CLASSES = ("run", "api", "documents_text")
_SHORT = timedelta(minutes=5)


def assess(series: Series, now: datetime, config: OpsConfig) -> SloResponse:
    """Raises ``Problem`` 503 SLO_DATA_UNAVAILABLE when nothing was served."""
    hour = total(series, CLASSES, now - WINDOW)
    if not hour.requests:
        raise Problem("SLO_DATA_UNAVAILABLE", "nothing was served in the last hour, so nothing is known")
    recent = total(series, CLASSES, now - _SHORT)
    p95 = {name: total(series, (name,), now - WINDOW).latency.percentile(0.95) for name in CLASSES}
    availability = _available(hour.errors, hour.requests)
    availability_5m = _available(recent.errors, recent.requests)
    allowed = 100 - config.availability_target
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


def _available(errors: int, requests: int) -> float:
    """Percent of requests without a server error; all of none."""
    return 100.0 if not requests else 100 * (1 - errors / requests)
