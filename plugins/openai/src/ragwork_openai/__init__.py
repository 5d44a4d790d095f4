"""Plugin ``openai``: chat, embeddings and speech of any service that speaks OpenAI's wire format."""

from ragwork_hooks.plugin import PluginInfo, hookimpl

from ragwork_openai.config import OpenAIConfig


class OpenAIPlugin:
    """Registers the providers ``openai`` of the kinds ``llm``, ``embedding`` and ``tts``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="openai",
            summary="Chat, embeddings and speech from an OpenAI-compatible service",
            config=OpenAIConfig,
        )


plugin = OpenAIPlugin()
