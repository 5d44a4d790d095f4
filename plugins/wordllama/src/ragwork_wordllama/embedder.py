"""The provider ``wordllama`` of kind ``embedding``."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ragwork_hooks.errors import ProviderError
from ragwork_hooks.plugin import NoOptions, Provider, ProviderContext
from ragwork_hooks.shares import Shares, in_thread, provider_busy

if TYPE_CHECKING:
    from ragwork_wordllama.encoder import Encoder

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
        self._places = {"query": queries, "document": documents}
        self._threads = {
            purpose: ThreadPoolExecutor(places.places, thread_name_prefix=f"wordllama-{purpose}")
            for purpose, places in self._places.items()
        }
        self._closed = False

    @property
    def name(self) -> str:
        return "wordllama"

    @property
    def dimension(self) -> int:
        return 256

    async def embed(self, texts: Sequence[str], purpose: Literal["query", "document"]) -> Vectors:
        """See ``Embedder.embed``. A text is read up to 24,000 characters.

        Raises ``ProviderError`` SERVICE_BUSY when too many wait, INTEGRATION_UNAVAILABLE after ``aclose``.
        """
        self._refuse_closed()
        if purpose == "query" and len(texts) <= SLICE and sum(map(len, texts)) <= INLINE_CHARACTERS:
            return self._work(texts)
        return await self._slices(texts, purpose)

    async def aclose(self) -> None:
        """End after the slices that run now; what waits is refused. Idempotent."""
        self._closed = True
        for pool in self._threads.values():
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in self._threads.values():
            await asyncio.to_thread(pool.shutdown)

    async def _slices(self, texts: Sequence[str], purpose: str) -> Vectors:
        places, threads = self._places[purpose], self._threads[purpose]
        vectors: Vectors = []
        for start in range(0, len(texts), SLICE):
            self._refuse_closed()
            try:
                work = partial(self._work, texts[start : start + SLICE])
                vectors += await in_thread(places, threads, work)
            except RuntimeError:
                self._refuse_closed()
                raise
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and not task.cancelling():
                    # The queue was emptied by aclose; nobody cancelled this call.
                    self._refuse_closed()
                raise
        return vectors

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ProviderError("INTEGRATION_UNAVAILABLE", "The embedder is closed")


async def open_embedder(context: ProviderContext[NoOptions]) -> WordllamaEmbedder:
    """Load the table in a thread. Raises ``ConfigError`` when its package is missing or altered."""
    encoder = await asyncio.to_thread(_load)
    shares = context.services.shares
    return WordllamaEmbedder(
        encoder.vectors,
        queries=shares("queries", 1, waiting=MAX_WAITING, refusal=provider_busy),
        documents=shares("documents", 1, waiting=MAX_WAITING, refusal=provider_busy),
    )


def _load() -> "Encoder":
    from ragwork_wordllama.encoder import Encoder

    return Encoder()


provider: Final = Provider(name="wordllama", open=open_embedder)
