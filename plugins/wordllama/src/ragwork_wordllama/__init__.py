"""Very fast offline embeddings: WordLlama's static token vectors from a wheel, 256 dimensions."""

from ragwork_hooks.plugin import PluginInfo, hookimpl


class WordllamaPlugin:
    """Has no settings; the embedder is the provider ``wordllama`` of kind ``embedding``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="wordllama",
            summary="Very fast offline embeddings with WordLlama static vectors (256 dimensions)",
        )


plugin = WordllamaPlugin()
