"""The MiniLM embedder keeps the contract of kind ``embedding``."""

from functools import cache

from ragwork_hooks.retrieval import Embedder
from ragwork_minilm.embedder import MinilmEmbedder
from ragwork_minilm.encoder import MinilmEncoder
from ragwork_testkit.embedding import EmbedderContract
from ragwork_testkit.services import ProviderServices

loaded = cache(MinilmEncoder)


class TestMinilmEmbedder(EmbedderContract):
    async def make(self) -> Embedder:
        shares = ProviderServices().shares
        return MinilmEmbedder(
            loaded().vectors, shares("queries", 1, waiting=100), shares("documents", 2, waiting=1_000)
        )
