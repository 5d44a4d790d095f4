"""The WordLlama embedder keeps the contract of kind ``embedding``."""

from functools import cache

from ragwork_hooks.retrieval import Embedder
from ragwork_testkit.embedding import EmbedderContract
from ragwork_wordllama.embedder import WordllamaEmbedder
from ragwork_wordllama.encoder import Encoder

loaded = cache(Encoder)


class TestWordllamaEmbedder(EmbedderContract):
    async def make(self) -> Embedder:
        return WordllamaEmbedder(loaded().vectors)
