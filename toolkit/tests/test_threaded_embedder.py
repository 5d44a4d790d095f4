"""An embedder on threads: a query passes documents by, each thread is prepared, and after closing all is refused."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from ragwork_hooks.errors import ProviderError
from ragwork_testkit.services import ProviderServices
from ragwork_toolkit.threaded_embedder import Purpose, ThreadedEmbedder, Vectors, embedder_shares


class Sample(ThreadedEmbedder):
    name = "sample"
    dimension = 1
    languages = None
    unrelated_cosine = 0.0
    slice = 2


async def test_a_query_passes_documents_by_and_each_thread_is_prepared_first() -> None:
    go_on, prepared = threading.Event(), []

    def work(texts: Sequence[str], *, purpose: Purpose) -> Vectors:
        if purpose == "document":
            go_on.wait(10)
        return [[float(len(text))] for text in texts]

    def prepare() -> None:
        prepared.append(threading.current_thread().name.rpartition("_")[0])

    queries, documents = embedder_shares(ProviderServices(), 1)
    made = Sample(work, queries, documents, for_queries=prepare, for_documents=prepare)
    batch = asyncio.create_task(made.embed(["a", "bb", "ccc"], "document"))
    assert await made.embed(["dddd"], "query") == [[4.0]]
    assert not batch.done()
    go_on.set()
    assert await batch == [[1.0], [2.0], [3.0]]
    assert sorted(prepared) == ["sample-document", "sample-query"]
    await made.aclose()
    await made.aclose()
    for purpose in ("query", "document"):
        with pytest.raises(ProviderError) as caught:
            await made.embed(["late"], purpose)
        assert caught.value.code == "INTEGRATION_UNAVAILABLE"
