"""Answering: chat models, messages, deltas and usage."""

from collections.abc import AsyncGenerator, Sequence
from typing import Final, Literal, Protocol, TypeAlias

import attrs

from ragwork_hooks.fields import number, text
from ragwork_hooks.retrieval import Passage

MAX_SYSTEM_PROMPT: Final = 8_000
#: A model's name is part of an address at some services: nothing in it climbs or ends a path.
_MODEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9_:/@+\-]|\.(?!\.))*"


@attrs.frozen(kw_only=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@attrs.frozen(kw_only=True)
class ChatRequest:
    """One turn.

    ``messages`` is the whole prompt, retrieved text included as delimited data. ``passages`` are the
    same passages in structure, numbered from 1 in the prompt, for models that take documents apart
    from text. ``question`` is the user's last message alone. A provider without a choice of models, or
    without chance in its answers, ignores ``model`` and ``temperature``.
    """

    messages: Sequence[Message]
    passages: Sequence[Passage]
    question: str
    max_output_tokens: int | None = None
    #: Instead of the model that the provider's settings name; in the provider's own words.
    model: str | None = None
    #: From 0.0; ``None`` for the provider's own.
    temperature: float | None = None
    #: Providers that answer, in order, when this one fails before its first delta; ``None`` for the operator's.
    fallback: tuple[str, ...] | None = None


@attrs.frozen(kw_only=True)
class GenerationOptions:
    """Who answers, and how; what is absent is the operator's."""

    #: A provider of kind `llm`. Example: "openai"
    provider: str | None = text(default=None, min_length=1, max_length=128)
    #: Its model, instead of the one that its settings name. Example: "gpt-4.1"
    model: str | None = text(default=None, min_length=1, max_length=200, pattern=_MODEL)
    #: What the model is told beside the platform's own rules, which stay. Example: "Answer in two sentences."
    system_prompt: str | None = text(default=None, max_length=MAX_SYSTEM_PROMPT, visible=True)
    #: How freely it chooses its words; 0 for the likeliest. Example: 0.2
    temperature: float | None = number(default=None, ge=0, le=2)
    #: The longest answer, in tokens. Example: 800
    max_tokens: int | None = number(default=None, ge=1, le=100_000)


@attrs.frozen(kw_only=True)
class GenerationSettings(GenerationOptions):
    """The ``generation`` section of a corpus' configuration."""

    #: Providers that answer, in order, when ``provider`` fails before its first piece; ``None`` for the operator's.
    fallback: tuple[str, ...] | None = None


@attrs.frozen(kw_only=True)
class ModelCitation:
    """The text so far leans on passage ``passage`` (from 1); ``quote`` is verbatim from it, or ""
    when the model only marked the passage.
    """

    passage: int
    quote: str = ""


@attrs.frozen(kw_only=True)
class Usage:
    """Tokens as the provider counts them; ``estimated`` when it doesn't say."""

    input_tokens: int
    output_tokens: int
    estimated: bool = False


#: Why an answer ended before its end: it was as long as it may be, the provider held back the rest, or its stream
#: ended without a word.
FinishReason: TypeAlias = Literal["length", "content_filter", "incomplete"]


@attrs.frozen(kw_only=True)
class Delta:
    """A piece of the answer, in order. ``[n]`` marks in ``text`` point to passage n. The last delta of
    a stream carries ``usage``, and ``finish_reason`` when the answer was cut short.
    """

    text: str = ""
    cites: tuple[ModelCitation, ...] = ()
    usage: Usage | None = None
    finish_reason: FinishReason | None = None
    #: A sentence for whoever builds on the answer, beside it; shown once in a session.
    notice: str | None = None
    #: The provider that answers in place of the one that was asked: of a layer around providers, not of a model.
    stand_in: str | None = None


class ChatModel(Protocol):
    """Provider of kind ``llm``."""

    @property
    def name(self) -> str: ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """The answer as it is made. Closing the iterator cancels the provider's call within 1 s.

        Raises ``ProviderError``; what was yielded before stays valid.
        """

    async def aclose(self) -> None: ...
