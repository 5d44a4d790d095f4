"""The chat model ``extractive``: passages in, cited sentences out."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Final

from ragwork_hooks.llm import ChatModel, ChatRequest, Delta, ModelCitation
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_toolkit.vendor.usage import CHARS_PER_TOKEN, estimate_usage

from ragwork_extractive.answer import choose
from ragwork_extractive.phrases import phrases_for, small_talk
from ragwork_extractive.sentences import Sentence

#: Characters that are scored on the event loop, about a millisecond; more go to a thread.
_INLINE_CHARS = 3_000
#: What a session is told once.
NOTICE: Final = (
    "No language model is configured: answers are sentences of the documents. Set LLM_PROVIDER, or generation.provider"
    " in a corpus' configuration, to one of the llm providers that `ragwork plugins` lists"
)


class ExtractiveModel:
    """Quotes, never writes: every sentence of an answer stands in the passage it cites."""

    name = "extractive"

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """The answer word by word; a sentence's ``[n]`` comes with its quote as ``ModelCitation``.

        One token is taken for four characters. Never raises ``ProviderError``.
        """
        size = len(request.question) + sum(len(passage.text) for passage in request.passages)
        if size > _INLINE_CHARS:
            deltas = await asyncio.to_thread(_answer, request)
        else:
            deltas = _answer(request)
        written = 0
        for delta in deltas:
            written += len(delta.text)
            yield delta
        yield Delta(usage=estimate_usage(request, written), notice=NOTICE)

    async def aclose(self) -> None:
        """Nothing to release."""


def _answer(request: ChatRequest) -> Sequence[Delta]:
    tokens = request.max_output_tokens
    room = None if tokens is None else CHARS_PER_TOKEN * tokens
    if (reply := small_talk(request.question)) is not None:
        return list(_words(reply, room))
    chosen = choose(request.question, request.passages)
    if not chosen.sentences:
        return list(_words(phrases_for(request.question).nothing_found, room))
    opening = f"{phrases_for(request.question).closest} " if chosen.in_doubt else ""
    return list(_cited(opening, chosen.sentences, room))


def _cited(opening: str, sentences: Sequence[Sentence], room: int | None) -> Iterator[Delta]:
    """Words and marks within ``room`` characters. Only the first sentence may be cut short."""
    for index, sentence in enumerate(sentences):
        mark = f" [{sentence.passage + 1}]"
        text = f" {sentence.shown}" if index else opening + sentence.shown
        if room is not None and index and len(text) + len(mark) > room:
            return
        pieces = list(_words(text, None if room is None else room - len(mark)))
        if not pieces:
            return
        yield from pieces
        yield Delta(text=mark, cites=(ModelCitation(passage=sentence.passage + 1, quote=sentence.quote),))
        if room is not None:
            room -= len(text) + len(mark)


def _words(text: str, room: int | None) -> Iterator[Delta]:
    """``text`` in pieces of one word with the space before it, ending at the last that fits."""
    start = 0
    while start < len(text) and (room is None or start < room):
        end = text.find(" ", start + 1)
        end = len(text) if end < 0 else end
        if room is not None and end > room:
            return
        yield Delta(text=text[start:end])
        start = end


async def _open(_context: ProviderContext[None]) -> ChatModel:
    # What detects a language takes half a second to load.
    await asyncio.to_thread(phrases_for, "What is the language of this?")
    return ExtractiveModel()


provider: Provider[ChatModel] = Provider(name="extractive", open=_open)
