"""This process's counters, gauges and latencies as one JSON object."""

from collections.abc import Mapping, Sequence

from ragwork_hooks.operations import MetricSample
from ragwork_hooks.services import Services

from ragwork_ops.histogram import Histogram
from ragwork_ops.schemas import MetricsResponse
from ragwork_ops.traffic import RequestStats

_BREAKER = "integrations_provider_circuit_state"
_CIRCUITS = ("closed", "half_open", "open")
_CODES = {"service_busy": "SERVICE_BUSY", "quota_exceeded": "QUOTA_EXCEEDED", "rate_limited": "RATE_LIMITED"}
#: The circuits that the contract names, by the provider behind each. A circuit that nothing ran through is
#: closed; deliveries of the webhook wait in the queue of jobs instead of behind one.
_NAMED_CIRCUITS = {
    "retrieval.aws_bedrock": "aws_bedrock_kb",
    "retrieval.gcp_vertex": "gcp_vertex",
    "tts.openai": "openai",
    "billing.webhook": "billing",
}
_INGESTION = "documents.ingest"


def collect(services: Services, traffic: RequestStats, queue_depth: int | None) -> MetricsResponse:
    """``queue_depth`` is the queue of record's, ``None`` while it can't be asked."""
    samples = services.metrics.read()
    counters = _summed(samples, "_total") | _of_the_contract(samples, traffic)
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
        circuit_breaker_state=_circuits(samples),
    )


def _of_the_contract(samples: Sequence[MetricSample], traffic: RequestStats) -> dict[str, float]:
    """The counters under the names that the wire contract gives them."""
    counted = {name: float(traffic.codes.get(code, 0)) for name, code in _CODES.items()}
    counted |= {
        "ingest_enqueued": float(traffic.taken_in),
        "ingest_succeeded": _counted(samples, "jobs_total", kind=_INGESTION, outcome="succeeded"),
        "ingest_failed": _counted(samples, "jobs_total", kind=_INGESTION, outcome="dead"),
        "sse_streams_disconnected": _counted(samples, "runs_total", outcome="cancelled"),
        "external_retries": _counted(samples, "integrations_provider_retries_total"),
        "circuit_breaker_open": _counted(samples, "integrations_provider_cb_open_total"),
    }
    return {f"nexusrag_{name}_total": value for name, value in counted.items()}


def _counted(samples: Sequence[MetricSample], ending: str, **labels: str) -> float:
    """The sum of a counter's series that carry ``labels``."""
    return sum(s.value for s in samples if s.name.endswith(ending) and labels.items() <= s.labels.items())


def _circuits(samples: Sequence[MetricSample]) -> dict[str, str]:
    seen = {name: _CIRCUITS[int(state)] for name, state in _labelled(samples, _BREAKER, "service").items()}
    return {**seen, **{name: seen.get(service, "closed") for name, service in _NAMED_CIRCUITS.items()}}


def _summed(samples: Sequence[MetricSample], ending: str) -> dict[str, float]:
    """Series of one name added up over their labels."""
    sums: dict[str, float] = {}
    for sample in samples:
        if sample.name.endswith(ending):
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


def _labelled(samples: Sequence[MetricSample], name: str, label: str) -> dict[str, float]:
    return {s.labels[label]: s.value for s in samples if s.name.endswith(name) and label in s.labels}


def _external(samples: Sequence[MetricSample]) -> dict[str, Mapping[str, float | None]]:
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
