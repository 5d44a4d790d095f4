"""The kinds of providers that bindings name at run time, and the code of "there is no such provider"."""

from collections.abc import Mapping
from typing import Final

KINDS: Final[Mapping[str, str]] = {
    "retrieval": "RETRIEVAL_CONFIG_INVALID",
    "embedding": "EMBEDDING_CONFIG_INVALID",
    "llm": "LLM_CONFIG_INVALID",
    "tts": "TTS_CONFIG_MISSING",
    "asr": "ASR_CONFIG_INVALID",
    "notification": "NOTIFICATION_CONFIG_INVALID",
    "policy_engine": "POLICY_ENGINE_UNAVAILABLE",
}
