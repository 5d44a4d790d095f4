"""Plugin ``memory``: shared state of one process."""

from ragwork_hooks.plugin import PluginInfo, hookimpl


class MemoryPlugin:
    """Names the plugin; the state itself is the provider ``memory`` of kind ``state``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        """See ``PluginSpec``."""
        return PluginInfo(
            name="memory",
            summary="counters, limits, locks, one-time values and messages of a server that is one process",
        )


plugin = MemoryPlugin()
