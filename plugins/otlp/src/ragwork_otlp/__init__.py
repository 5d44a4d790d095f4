"""Plugin ``otlp``: spans for an OpenTelemetry collector."""

from ragwork_hooks.plugin import PluginInfo, hookimpl


class OtlpPlugin:
    """Names the plugin; the exporter itself is the provider ``otlp`` of kind ``tracing``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        """See ``PluginSpec``."""
        return PluginInfo(name="otlp", summary="spans of requests, SQL and providers, exported over OTLP")


plugin = OtlpPlugin()
