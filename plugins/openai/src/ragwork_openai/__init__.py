"""Plugin ``openai``: chat, embeddings, speech and transcription of any service that speaks OpenAI's wire format."""

from ragwork_hooks.plugin import PluginInfo, hookimpl

from ragwork_openai.config import OpenAIConfig, OpenAIEndpointConfig


class OpenAIPlugin:
    """Registers the providers ``openai`` of the kinds ``llm``, ``embedding``, ``tts`` and ``asr``, and the same as
    ``openai.NAME`` for every table ``[openai.NAME]``.
    """

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="openai",
            summary="Chat, embeddings, speech and transcription from an OpenAI-compatible service",
            config=OpenAIConfig,
            named_config=OpenAIEndpointConfig,
            # The vendor's SDK knows these by itself.
            reads=("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_LOG", "OPENAI_WEBHOOK_SECRET"),
        )


plugin = OpenAIPlugin()
