"""Plugin ``pocketsphinx``: speech recognition without a service."""

from ragwork_hooks.plugin import PluginInfo, hookimpl


class PocketSphinxPlugin:
    """Registers the provider ``pocketsphinx`` of kind ``asr``. It has no settings."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="pocketsphinx",
            summary="Speech recognition inside the process by PocketSphinx",
        )


plugin = PocketSphinxPlugin()
