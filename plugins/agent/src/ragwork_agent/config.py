"""Settings of the agent."""

import attrs
from ragwork_hooks.provider_kinds import LLM, TTS
from ragwork_hooks.settings import setting


@attrs.frozen(kw_only=True)
class Config:
    """How runs answer, stream and speak."""

    llm_provider: str = setting(
        "LLM_PROVIDER", "extractive", "provider of kind llm that answers runs", binds=LLM
    )
    tts_provider: str = setting(
        "TTS_PROVIDER", "none", "provider of kind tts that speaks answers; none for no speech", binds=TTS
    )
    audio_base_url: str | None = setting(
        "AUDIO_BASE_URL",
        None,
        "this service as clients see it, for audio URLs; unset means as each request addressed it",
    )
    heartbeat_s: float = setting(
        "RUN_SSE_HEARTBEAT_S", 10.0, "seconds of silence in a stream before a heartbeat", ge=0.05, le=3600
    )
    flush_interval_ms: float = setting(
        "SSE_FLUSH_INTERVAL_MS", 0.0, "pause after each piece of an answer, in milliseconds", ge=0, le=10_000
    )
    debug_events: bool = setting("DEBUG_EVENTS", False, "emit debug.retrieval in streams")
    max_history_messages: int = setting(
        "RUN_MAX_HISTORY_MESSAGES",
        20,
        "earlier messages of the session in a prompt",
        ge=0,
        le=200,
    )
