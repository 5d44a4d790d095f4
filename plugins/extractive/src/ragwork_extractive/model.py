"""The chat model ``extractive``: passages in, cited sentences out."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence

from ragwork_hooks.llm import ChatModel, ChatRequest, Delta, ModelCitation
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_toolkit.vendor.usage import CHARS_PER_TOKEN, estimate_usage

from ragwork_extractive.answer import choose
from ragwork_extractive.sentences import Sentence
from ragwork_extractive.terms import Stems

NOTHING = "The corpus does not say."
#: Characters that are scored on the event loop, about a millisecond; more go to a thread.
_INLINE_CHARS = 3_000


class ExtractiveModel:
    """Quotes, never writes: every sentence of an answer stands in the passage it cites."""

    name = "extractive"

    def __init__(self) -> None:
        self._stems = Stems()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """The answer word by word; a sentence's ``[n]`` comes with its quote as ``ModelCitation``.

        One token is taken for four characters. Never raises ``ProviderError``.
        """
        size = len(request.question) + sum(len(passage.text) for passage in request.passages)
        if size > _INLINE_CHARS:
            found = await asyncio.to_thread(choose, self._stems, request.question, request.passages)
        else:
            found = choose(self._stems, request.question, request.passages)
        budget = request.max_output_tokens
        written = 0
        for delta in _deltas(found, None if budget is None else CHARS_PER_TOKEN * budget):
            written += len(delta.text)
            yield delta
        yield Delta(usage=estimate_usage(request, written))

    async def aclose(self) -> None:
        """Nothing to release."""


def _deltas(found: Sequence[Sentence], room: int | None) -> Iterator[Delta]:
    """Words and marks within ``room`` characters. Only the first sentence may be cut short."""
    if not found:
        yield from _words(NOTHING, room)
        return
    for index, sentence in enumerate(found):
        mark = f" [{sentence.passage + 1}]"
        text = f" {sentence.shown}" if index else sentence.shown
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
    # The stemmer's tables take a moment to import and the first stems to make.
    return await asyncio.to_thread(ExtractiveModel)


provider: Provider[ChatModel] = Provider(name="extractive", open=_open)
