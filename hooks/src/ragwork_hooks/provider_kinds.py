"""Kinds of providers: what a binding may name. The contract's own stand in ``KINDS``; a plugin declares more."""

import re
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

import attrs

from ragwork_hooks.llm import ChatModel
from ragwork_hooks.notification import Channel
from ragwork_hooks.policy import PolicyEngine
from ragwork_hooks.retrieval import Embedder, Retriever
from ragwork_hooks.speech import SpeechRecognizer, SpeechSynthesizer

P = TypeVar("P")

#: Entry point groups ``ragwork.<name>`` that hold something other than providers that a binding names.
RESERVED: Final = frozenset({"plugins", "assembly", "blob", "database", "state", "tracing"})


@attrs.frozen
class ProviderKind(Generic[P]):
    """One kind: every provider of it is an entry point of the group ``ragwork.<name>``, opened by
    ``Providers.open``.

    A kind beyond ``KINDS`` is declared in ``PluginInfo.kinds`` by the plugin that opens its providers::

        class Translator(Protocol):
            async def translate(self, text: str, language: str) -> str: ...

        TRANSLATOR = ProviderKind("translator", Translator, "TRANSLATOR_CONFIG_INVALID", {"translate": "translation"})

    Raises ``ValueError`` for a name that can't be one.
    """

    #: Lower case, digits and underscores: ``policy_engine``.
    name: str
    #: What an opened provider implements.
    protocol: type[P]
    #: Code of the ``ProviderError`` that a name raises which nobody offers: ``LLM_CONFIG_INVALID``.
    unknown: str
    #: Its calls that make spans → what OpenTelemetry's conventions call them: ``{"embed": "embeddings"}``.
    spans: Mapping[str, str] = attrs.field(factory=dict, hash=False)

    def __attrs_post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name) or self.name in RESERVED:
            raise ValueError(f"{self.name!r} can't name a kind of providers: choose another lower case word")


RETRIEVAL: Final = ProviderKind("retrieval", Retriever, "RETRIEVAL_CONFIG_INVALID", {"prepare": "retrieval"})
EMBEDDING: Final = ProviderKind("embedding", Embedder, "EMBEDDING_CONFIG_INVALID", {"embed": "embeddings"})
LLM: Final = ProviderKind("llm", ChatModel, "LLM_CONFIG_INVALID", {"stream": "chat"})
TTS: Final = ProviderKind("tts", SpeechSynthesizer, "TTS_CONFIG_MISSING", {"synthesize": "speech"})
ASR: Final = ProviderKind("asr", SpeechRecognizer, "ASR_CONFIG_INVALID", {"recognize": "transcription"})
NOTIFICATION: Final = ProviderKind("notification", Channel, "NOTIFICATION_CONFIG_INVALID")
POLICY_ENGINE: Final = ProviderKind("policy_engine", PolicyEngine, "POLICY_ENGINE_UNAVAILABLE")

KINDS: Final[tuple[ProviderKind[Any], ...]] = (
    RETRIEVAL, EMBEDDING, LLM, TTS, ASR, NOTIFICATION, POLICY_ENGINE
)  # fmt: skip
