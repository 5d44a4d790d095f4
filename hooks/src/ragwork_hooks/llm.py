"""Answering: chat models, messages, deltas and usage."""

from collections.abc import AsyncGenerator, Sequence
from typing import Literal, Protocol, TypeAlias

import attrs

from ragwork_hooks.retrieval import Passage


@attrs.frozen(kw_only=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@attrs.frozen(kw_only=True)
class ChatRequest:
    """One turn.

    ``messages`` is the whole prompt, retrieved text included as delimited data. ``passages`` are the
    same passages in structure, numbered from 1 in the prompt, for models that take documents apart
    from text. ``question`` is the user's last message alone.
    """

    messages: Sequence[Message]
    passages: Sequence[Passage]
    question: str
    max_output_tokens: int | None = None


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


class ChatModel(Protocol):
    """Provider of kind ``llm``."""

    @property
    def name(self) -> str: ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """The answer as it is made. Closing the iterator cancels the provider's call within 1 s.

        Raises ``ProviderError``; what was yielded before stays valid.
        """

    async def aclose(self) -> None: ...
