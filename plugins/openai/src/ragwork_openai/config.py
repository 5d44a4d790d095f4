"""Settings of the plugin ``openai``."""

import attrs
from ragwork_hooks.settings import header_value, http_url, setting


@attrs.frozen(kw_only=True)
class OpenAIConfig:
    """Where the service is, who we are to it, and what we ask of it."""

    api_key: str | None = setting(
        "OPENAI_API_KEY",
        None,
        "Credential; any text for a service that wants none",
        secret=True,
        form=header_value,
    )
    base_url: str = setting(
        "OPENAI_BASE_URL",
        "https://api.openai.com/v1",
        "Root of the OpenAI-compatible service",
        form=http_url,
    )
    timeout_s: float = setting(
        "OPENAI_TIMEOUT_S", 60.0, "Longest silence of the service, in seconds", ge=0.1, le=600
    )
    model: str = setting("OPENAI_MODEL", "gpt-4.1-mini", "Chat model")
    embedding_model: str = setting("OPENAI_EMBEDDING_MODEL", "text-embedding-3-small", "Embedding model")
    embedding_dimensions: int = setting(
        "OPENAI_EMBEDDING_DIMENSIONS", 768, "Length of the vectors asked for", ge=1, le=4096
    )
    tts_model: str = setting("OPENAI_TTS_MODEL", "gpt-4o-mini-tts", "Speech model")
    tts_voice: str = setting("OPENAI_TTS_VOICE", "alloy", "Voice")
    asr_model: str = setting("OPENAI_ASR_MODEL", "gpt-4o-mini-transcribe", "Transcription model")


def ready(config: OpenAIConfig) -> str | None:
    """What every provider of the plugin needs, for ``Provider.ready``."""
    return None if config.api_key else "needs OPENAI_API_KEY, which is unset"
