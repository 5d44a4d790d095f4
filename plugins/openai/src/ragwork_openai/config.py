"""Settings of the plugin ``openai``: its own service, and those of its named tables."""

from typing import TypeAlias

import attrs
from ragwork_hooks.settings import env_name, header_value, http_url, setting


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


@attrs.frozen(kw_only=True)
class OpenAIEndpointConfig:
    """A further service, ``[openai.NAME]``. It has a provider of each kind that a model is named for."""

    api_key: str | None = setting(
        "OPENAI_<NAME>_API_KEY",
        None,
        "Credential; any text for a service that wants none",
        secret=True,
        form=header_value,
    )
    base_url: str | None = setting(
        "OPENAI_<NAME>_BASE_URL", None, "Root of the OpenAI-compatible service", form=http_url
    )
    timeout_s: float = setting(
        "OPENAI_<NAME>_TIMEOUT_S", 60.0, "Longest silence of the service, in seconds", ge=0.1, le=600
    )
    model: str | None = setting("OPENAI_<NAME>_MODEL", None, "Chat model")
    embedding_model: str | None = setting("OPENAI_<NAME>_EMBEDDING_MODEL", None, "Embedding model")
    embedding_dimensions: int = setting(
        "OPENAI_<NAME>_EMBEDDING_DIMENSIONS", 768, "Length of the vectors asked for", ge=1, le=4096
    )
    tts_model: str | None = setting("OPENAI_<NAME>_TTS_MODEL", None, "Speech model")
    tts_voice: str = setting("OPENAI_<NAME>_TTS_VOICE", "alloy", "Voice")
    asr_model: str | None = setting("OPENAI_<NAME>_ASR_MODEL", None, "Transcription model")


ServiceConfig: TypeAlias = OpenAIConfig | OpenAIEndpointConfig


def lacking(config: ServiceConfig, model: str) -> str | None:
    """What a provider needs whose model is the setting ``model``, for ``Provider.ready``."""
    for field in ("base_url", "api_key", model):
        if not getattr(config, field):
            return f"needs {env_name(config, field)}, which is unset"
    return None
