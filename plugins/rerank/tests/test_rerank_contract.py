"""``rerank`` keeps the contract of kind ``reranker`` over a service of each format."""

import pytest
from ragwork_testkit.rerank_server import KEY, rerank_server
from ragwork_testkit.reranking import RerankerContract


class OverService(RerankerContract):
    """The kit over a service of ``wire_format``; where the kit has a service in trouble, that one is asked."""

    wire_format = ""

    @pytest.fixture(autouse=True)
    async def at_a_service(self):
        async with rerank_server() as server:
            self.settings = {
                "RERANK_URL": server.url,
                "RERANK_FORMAT": self.wire_format,
                "RERANK_MODEL": "rerank-1",
                "RERANK_API_KEY": KEY,
            }
            yield


class TestOverCohere(OverService):
    wire_format = "cohere"


class TestOverJina(OverService):
    wire_format = "jina"


class TestOverTextEmbeddingsInference(OverService):
    wire_format = "tei"
