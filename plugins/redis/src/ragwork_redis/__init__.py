"""Plugin ``redis``: shared state of many processes in Redis or Valkey."""

from ragwork_hooks.plugin import PluginInfo, hookimpl


class RedisPlugin:
    """Names the plugin; the store itself is the provider ``redis`` of kind ``state``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        """See ``PluginSpec``."""
        return PluginInfo(
            name="redis",
            summary="Shared counters, limits, locks, one-time values and messages in Redis or Valkey",
        )


plugin = RedisPlugin()
