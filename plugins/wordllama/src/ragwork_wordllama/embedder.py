"""The provider ``wordllama`` of kind ``embedding``."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from ragwork_hooks.providers import NoOptions, Provider, ProviderContext
from ragwork_hooks.shares import Shares
from ragwork_toolkit.threaded_embedder import Purpose, ThreadedEmbedder, Vectors, embedder_shares

if TYPE_CHECKING:
    from ragwork_wordllama.encoder import WordllamaEncoder

#: Queries up to this many characters together run on the event loop: at 0.25 ms for 1,000 characters
#: they hold it for less time than handing them to a thread and back takes under load.
INLINE_CHARACTERS: Final = 4_000


class WordllamaEmbedder(ThreadedEmbedder):
    """Static vectors, which read up to 24,000 characters of a text. Documents take turns on one thread; short queries
    don't leave the event loop.
    """

    name = "wordllama"
    dimension = 256
    languages = frozenset({"en"})
    unrelated_cosine = 0.2
    slice = 16

    def __init__(self, work: Callable[[Sequence[str]], Vectors], queries: Shares, documents: Shares) -> None:
        super().__init__(lambda texts, *, purpose: work(texts), queries, documents)

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        """See ``ThreadedEmbedder.embed``."""
        if purpose == "query" and len(texts) <= self.slice and sum(map(len, texts)) <= INLINE_CHARACTERS:
            self._queries.refuse_if_closed()
            return self._work(texts, purpose=purpose)
        return await super().embed(texts, purpose)


async def open_embedder(context: ProviderContext[NoOptions]) -> WordllamaEmbedder:
    """Load the table in a thread. Raises ``ConfigError`` when its package is missing or altered."""
    encoder = await asyncio.to_thread(_load)
    return WordllamaEmbedder(encoder.vectors, *embedder_shares(context.services, 1))


def _load() -> "WordllamaEncoder":
    from ragwork_wordllama.encoder import WordllamaEncoder

    return WordllamaEncoder()


provider: Final = Provider(name="wordllama", open=open_embedder)
