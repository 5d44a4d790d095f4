"""The MiniLM embedder keeps the contract of kind ``embedding``."""

from functools import cache

from ragwork_hooks.retrieval import Embedder
from ragwork_minilm.embedder import MinilmEmbedder
from ragwork_minilm.encoder import Encoder
from ragwork_testkit.embedding import EmbedderContract

loaded = cache(Encoder)


class TestMinilmEmbedder(EmbedderContract):
    async def make(self) -> Embedder:
        return MinilmEmbedder(loaded().vectors, threads=2)
