"""The provider ``minilm`` of kind ``embedding``."""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.shares import Shares
from ragwork_toolkit.threaded_embedder import ThreadedEmbedder, Vectors, embedder_shares

from ragwork_minilm.config import MinilmConfig

if TYPE_CHECKING:
    from ragwork_minilm.encoder import MinilmEncoder

#: Scheduling priority of document threads: the event loop, the database and queries go first.
_DOCUMENT_NICENESS: Final = 10


class MinilmEmbedder(ThreadedEmbedder):
    """all-MiniLM-L6-v2, which reads up to 256 tokens of a text."""

    name = "minilm"
    dimension = 384
    languages = frozenset({"en"})
    unrelated_cosine = 0.2
    slice = 4

    def __init__(self, work: Callable[[Sequence[str]], Vectors], queries: Shares, documents: Shares) -> None:
        super().__init__(
            lambda texts, *, purpose: work(texts), queries, documents, for_documents=_yield_to_others
        )


async def open_embedder(context: ProviderContext[MinilmConfig]) -> MinilmEmbedder:
    """Load the model in a thread. Raises ``ConfigError`` when its packages are missing or altered."""
    encoder = await asyncio.to_thread(_load)
    return MinilmEmbedder(encoder.vectors, *embedder_shares(context.services, context.config.threads))


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
