"""Plugin ``espeak``: speech without a service."""

from ragwork_hooks.plugin import PluginInfo, hookimpl

from ragwork_espeak.config import EspeakConfig


class EspeakPlugin:
    """Registers the provider ``espeak`` of kind ``tts``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="espeak",
            summary="Speech made inside the process by espeak-ng",
            config=EspeakConfig,
        )


plugin = EspeakPlugin()
