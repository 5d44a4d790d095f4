"""The provider ``minilm`` of kind ``embedding``."""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.shares import Shares, provider_busy
from ragwork_toolkit.worker_threads import WorkerThreads

from ragwork_minilm.config import MinilmConfig

if TYPE_CHECKING:
    from ragwork_minilm.encoder import MinilmEncoder

Vectors: TypeAlias = list[list[float]]
#: Slices that may wait; more is refused rather than queued without end.
MAX_WAITING: Final = 1_000
#: Texts per slice: what a cancelled call may still cost, and how often a thread turns to the next call.
SLICE: Final = 4
#: Scheduling priority of document threads: the event loop, the database and queries go first.
_DOCUMENT_NICENESS: Final = 10


class MinilmEmbedder:
    """all-MiniLM-L6-v2. Queries and documents have threads of their own, so neither waits for the other."""

    def __init__(self, work: Callable[[Sequence[str]], Vectors], queries: Shares, documents: Shares) -> None:
        self._work = work
        self._queries = WorkerThreads("minilm-query", queries)
        self._documents = WorkerThreads("minilm-document", documents, _yield_to_others)

    @property
    def name(self) -> str:
        return "minilm"

    @property
    def dimension(self) -> int:
        return 384

    @property
    def languages(self) -> frozenset[str]:
        return frozenset({"en"})

    @property
    def unrelated_cosine(self) -> float:
        return 0.2

    async def embed(self, texts: Sequence[str], purpose: Literal["query", "document"]) -> Vectors:
        """See ``Embedder.embed``. A text is read up to 256 tokens.

        Raises ``ProviderError`` SERVICE_BUSY when too many wait, INTEGRATION_UNAVAILABLE after ``aclose``.
        """
        if not texts:
            return []
        threads = self._queries if purpose == "query" else self._documents
        return await threads.run_slices(self._work, texts, SLICE)

    async def aclose(self) -> None:
        """Stop the threads; idempotent."""
        await asyncio.gather(self._queries.aclose(), self._documents.aclose())


async def open_embedder(context: ProviderContext[MinilmConfig]) -> MinilmEmbedder:
    """Load the model in a thread. Raises ``ConfigError`` when its packages are missing or altered."""
    encoder = await asyncio.to_thread(_load)
    shares, threads = context.services.shares, context.config.threads
    return MinilmEmbedder(
        encoder.vectors,
        queries=shares("queries", 1, waiting=MAX_WAITING, refusal=provider_busy),
        documents=shares("documents", threads, waiting=MAX_WAITING, refusal=provider_busy),
    )


def _load() -> "MinilmEncoder":
    from ragwork_minilm.encoder import MinilmEncoder

    encoder = MinilmEncoder()
    encoder.vectors(["the first run allocates the buffers"])
    return encoder


def _yield_to_others() -> None:
    # Only Linux takes a thread's id here; elsewhere it would name some process.
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _DOCUMENT_NICENESS)


provider: Final = Provider(name="minilm", open=open_embedder)
