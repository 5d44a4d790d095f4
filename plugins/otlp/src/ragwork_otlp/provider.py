"""The provider ``otlp`` of kind ``tracing``, which the boot opens with ``OTEL_EXPORTER_OTLP_ENDPOINT``."""

from ragwork_hooks.infrastructure import KernelTracer, TracingProvider


def export(endpoint: str, service: str) -> KernelTracer:
    """A tracer that sends the spans of ``service`` to the collector at ``endpoint``."""
    # OpenTelemetry is imported where spans are exported, and nowhere else.
    from ragwork_otlp.tracer import OtlpTracer

    return OtlpTracer(endpoint, service)


provider = TracingProvider(name="otlp", open=export)
