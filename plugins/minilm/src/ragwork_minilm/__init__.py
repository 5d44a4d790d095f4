"""Offline sentence embeddings: all-MiniLM-L6-v2 from wheels, 384 dimensions, off the event loop."""

from ragwork_hooks.plugin import PluginInfo, hookimpl

from ragwork_minilm.config import MinilmConfig


class MinilmPlugin:
    """Declares the settings; the embedder itself is the provider ``minilm`` of kind ``embedding``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="minilm",
            summary="Offline sentence embeddings with all-MiniLM-L6-v2 (384 dimensions)",
            config=MinilmConfig,
        )


plugin = MinilmPlugin()
