"""The WordLlama embedder keeps the contract of kind ``embedding``."""

from functools import cache

from ragwork_hooks.retrieval import Embedder
from ragwork_testkit.embedding import EmbedderContract
from ragwork_testkit.services import ProviderServices
from ragwork_wordllama.embedder import WordllamaEmbedder
from ragwork_wordllama.encoder import WordllamaEncoder

loaded = cache(WordllamaEncoder)


class TestWordllamaEmbedder(EmbedderContract):
    async def make(self) -> Embedder:
        shares = ProviderServices().shares
        return WordllamaEmbedder(
            loaded().vectors, shares("queries", 1, waiting=100), shares("documents", 1, waiting=1_000)
        )
