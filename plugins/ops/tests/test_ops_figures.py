"""Objectives and percentiles are arithmetic over real counts."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_hooks.errors import Problem
from ragwork_ops.config import OpsConfig
from ragwork_ops.histogram import BOUNDS_MS, Histogram
from ragwork_ops.schemas import SloResponse
from ragwork_ops.signals import signals
from ragwork_ops.slo import assess, measure
from ragwork_ops.traffic import MinuteStats, Series

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@given(st.lists(st.floats(0.01, 100_000), min_size=1, max_size=300), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    found = histogram.percentile(share)
    rank = max(1, -(-len(values) * share // 1))
    true = sorted(values)[int(rank) - 1]
    above = next((bound for bound in BOUNDS_MS if bound >= true), max(values))
    below = max((bound for bound in BOUNDS_MS if bound < true), default=0.0)
    assert found is not None
    assert round(below, 2) <= found <= round(max(above, below), 2) + 0.01


def test_merged_histograms_equal_one_over_everything() -> None:
    rng = random.Random(1)
    values = [rng.expovariate(1 / 80) for _ in range(1000)]
    whole, left, right = Histogram(), Histogram(), Histogram()
    for index, value in enumerate(values):
        whole.add(value)
        (left if index % 2 else right).add(value)
    left.merge(right.counts, right.slowest_ms)
    assert (left.counts, left.slowest_ms) == (whole.counts, whole.slowest_ms)


def served(requests: int, errors: int, ms: float = 10) -> MinuteStats:
    one = MinuteStats(requests=requests, errors=errors)
    for _ in range(requests):
        one.latency.add(ms)
    return one


async def assessed(series: Series) -> SloResponse:
    async def read() -> Series:
        return series

    return assess(await measure(signals(read, lambda: NOW)), OpsConfig())


async def test_the_budget_is_what_the_objective_leaves_over() -> None:
    series: Series = {
        (NOW - timedelta(minutes=30), "api"): served(9_000, 5),
        (NOW - timedelta(minutes=2), "api"): served(1_000, 2),
        (NOW - timedelta(minutes=90), "api"): served(1_000, 1_000),  # too old to count
    }
    found = await assessed(series)
    assert found.availability == pytest.approx(99.93)
    assert found.error_budget.remaining_pct == pytest.approx(30.0, abs=0.1)
    assert found.availability_5m == pytest.approx(99.8)
    assert found.error_budget.burn_rate_5m == pytest.approx(2.0, abs=0.01)
    assert found.status == "at_risk"
    assert (found.p95.run, found.p95.documents_text) == (None, None)


@pytest.mark.parametrize(
    ("series", "status"),
    [
        ({(NOW, "api"): served(1000, 0)}, "healthy"),
        ({(NOW, "api"): served(1000, 5)}, "breached"),
        ({(NOW, "run"): served(1000, 0, ms=9_000)}, "breached"),
    ],
)
async def test_a_missed_objective_is_a_breach(series: Series, status: str) -> None:
    assert (await assessed(series)).status == status


async def test_without_a_request_nothing_is_claimed() -> None:
    with pytest.raises(Problem) as refused:
        await assessed({})
    assert (refused.value.code, refused.value.status) == ("SLO_DATA_UNAVAILABLE", 503)


async def test_signals_that_are_asked_together_read_once_and_none_is_a_tenant_s() -> None:
    readings: list[int] = []

    async def read() -> Series:
        readings.append(1)
        await asyncio.sleep(0)
        return {(NOW, "api"): served(10, 1, ms=30)}

    found = {signal.name: signal for signal in signals(read, lambda: NOW)}
    hour = timedelta(hours=1)
    values = dict(
        zip(found, await asyncio.gather(*(s.value(None, hour) for s in found.values())), strict=True)
    )
    assert len(readings) == 1
    assert values["slo.availability"] == pytest.approx(90.0)
    assert values["slo.p95_ms.run"] is None
    assert 25 < (values["slo.p95_ms.api"] or 0) <= 35
    assert await found["slo.availability"].value("t1", hour) is None
    assert len(readings) == 1
    assert await found["slo.availability"].value(None, hour) == pytest.approx(90.0)
    assert len(readings) == 2
