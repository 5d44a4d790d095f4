"""This process's counters, gauges and latencies as one JSON object."""

from collections.abc import Mapping, Sequence

from ragwork_hooks.plugin import Sample, Services

from ragwork_ops.histogram import Histogram
from ragwork_ops.shapes import MetricsResponse
from ragwork_ops.traffic import Traffic

_BREAKER = "integrations_provider_circuit_state"
_CIRCUITS = ("closed", "half_open", "open")
_CODES = {
    "service_busy_total": "SERVICE_BUSY",
    "quota_exceeded_total": "QUOTA_EXCEEDED",
    "rate_limited_total": "RATE_LIMITED",
}


def collect(services: Services, traffic: Traffic, queue_depth: int | None) -> MetricsResponse:
    """``queue_depth`` is the queue of record's, ``None`` while it can't be asked."""
    samples = services.metrics.read()
    counters = _summed(samples, "_total")
    counters |= {name: float(traffic.codes.get(code, 0)) for name, code in _CODES.items()}
    gauges = {
        sample.name: sample.value
        for sample in samples
        if not sample.labels and not sample.name.endswith(("_total", "_created", "_sum", "_count", "_bucket"))
    }
    return MetricsResponse(
        counters=counters,
        gauges={"ingest_queue_depth": None if queue_depth is None else float(queue_depth)},
        telemetry_gauges=gauges,
        latency_ms=_nested(traffic.by_status),
        segment_latency_ms=_nested(traffic.segments),
        external_call_latency_ms=_external(samples),
        sse_stream_duration_ms=_percentiles(traffic.by_status.get(("run", "2xx"), Histogram())),
        db_pool=_labelled(samples, "db_pool_connections", "state"),
        circuit_breaker_state={
            service: _CIRCUITS[int(state)]
            for service, state in _labelled(samples, _BREAKER, "service").items()
        },
    )


def _summed(samples: Sequence[Sample], ending: str) -> dict[str, float]:
    """Series of one name added up over their labels."""
    sums: dict[str, float] = {}
    for sample in samples:
        if sample.name.endswith(ending):
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


def _labelled(samples: Sequence[Sample], name: str, label: str) -> dict[str, float]:
    return {s.labels[label]: s.value for s in samples if s.name.endswith(name) and label in s.labels}


def _external(samples: Sequence[Sample]) -> dict[str, Mapping[str, float | None]]:
    """Mean milliseconds of calls to each provider, from its latency histogram's sum and count."""
    sums = _labelled(samples, "integrations_provider_latency_seconds_sum", "service")
    counts = _labelled(samples, "integrations_provider_latency_seconds_count", "service")
    return {
        name: {"mean": round(sums[name] / count * 1000, 2), "count": count}
        for name, count in counts.items()
        if count and name in sums
    }


def _nested(table: Mapping[tuple[str, str], Histogram]) -> dict[str, dict[str, Mapping[str, float | None]]]:
    nested: dict[str, dict[str, Mapping[str, float | None]]] = {}
    for (outer, inner), histogram in table.items():
        nested.setdefault(outer, {})[inner] = _percentiles(histogram)
    return nested


def _percentiles(histogram: Histogram) -> Mapping[str, float | None]:
    return {
        "p50": histogram.percentile(0.50),
        "p95": histogram.percentile(0.95),
        "p99": histogram.percentile(0.99),
        "max": round(histogram.slowest_ms, 2) if histogram.total else None,
    }
