"""The provider ``wordllama`` of kind ``embedding``."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ragwork_hooks.providers import NoOptions, Provider, ProviderContext
from ragwork_hooks.shares import Shares, provider_busy
from ragwork_toolkit.worker_threads import WorkerThreads

if TYPE_CHECKING:
    from ragwork_wordllama.encoder import WordllamaEncoder

Vectors: TypeAlias = list[list[float]]
#: Queries up to this many characters together run on the event loop: at 0.25 ms for 1,000 characters
#: they hold it for less time than handing them to a thread and back takes under load.
INLINE_CHARACTERS: Final = 4_000
#: Slices that may wait; more is refused rather than queued without end.
MAX_WAITING: Final = 1_000
#: Texts per slice: what a cancelled call may still cost, and how soon the next call has its turn.
SLICE: Final = 16


class WordllamaEmbedder:
    """Static vectors. Documents take turns on one thread; short queries don't leave the event loop."""

    def __init__(self, work: Callable[[Sequence[str]], Vectors], queries: Shares, documents: Shares) -> None:
        self._work = work
        self._queries = WorkerThreads("wordllama-query", queries)
        self._documents = WorkerThreads("wordllama-document", documents)

    @property
    def name(self) -> str:
        return "wordllama"

    @property
    def dimension(self) -> int:
        return 256

    @property
    def languages(self) -> frozenset[str]:
        return frozenset({"en"})

    @property
    def unrelated_cosine(self) -> float:
        return 0.2

    async def embed(self, texts: Sequence[str], purpose: Literal["query", "document"]) -> Vectors:
        """See ``Embedder.embed``. A text is read up to 24,000 characters.

        Raises ``ProviderError`` SERVICE_BUSY when too many wait, INTEGRATION_UNAVAILABLE after ``aclose``.
        """
        threads = self._queries if purpose == "query" else self._documents
        threads.refuse_if_closed()
        if purpose == "query" and len(texts) <= SLICE and sum(map(len, texts)) <= INLINE_CHARACTERS:
            return self._work(texts)
        return await threads.run_slices(self._work, texts, SLICE)

    async def aclose(self) -> None:
        """End after the slices that run now; what waits is refused. Idempotent."""
        await asyncio.gather(self._queries.aclose(), self._documents.aclose())


async def open_embedder(context: ProviderContext[NoOptions]) -> WordllamaEmbedder:
    """Load the table in a thread. Raises ``ConfigError`` when its package is missing or altered."""
    encoder = await asyncio.to_thread(_load)
    shares = context.services.shares
    return WordllamaEmbedder(
        encoder.vectors,
        queries=shares("queries", 1, waiting=MAX_WAITING, refusal=provider_busy),
        documents=shares("documents", 1, waiting=MAX_WAITING, refusal=provider_busy),
    )


def _load() -> "WordllamaEncoder":
    from ragwork_wordllama.encoder import WordllamaEncoder

    return WordllamaEncoder()


provider: Final = Provider(name="wordllama", open=open_embedder)
