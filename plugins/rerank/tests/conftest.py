"""A local service of every format, and the plugin's reranker over it."""

import attrs
import pytest
from ragwork_kernel.base.egress import EgressClient
from ragwork_rerank.config import RerankConfig
from ragwork_rerank.reranker import ServiceReranker
from ragwork_testkit.rerank_server import KEY, rerank_server


@pytest.fixture
async def server():
    async with rerank_server() as server:
        yield server


@pytest.fixture
async def make(server):
    """Makes a reranker over the service: ``make(wire_format="jina")``."""
    egress = EgressClient(["127.0.0.0/8"])
    base = RerankConfig(url=server.url, api_key=KEY, model="rerank-1", wire_format="tei")

    def made(**changes):
        config = attrs.evolve(base, **changes)
        return ServiceReranker(egress, config.url, config)

    yield made
    await egress.close()
