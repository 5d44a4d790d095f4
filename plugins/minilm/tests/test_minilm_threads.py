"""The threads of the embedder: queries have their own, and documents give way."""

import asyncio
import os
import threading
import time
from collections.abc import Sequence

from ragwork_hooks.shares import Shares, provider_busy
from ragwork_minilm.embedder import MinilmEmbedder, Vectors
from ragwork_testkit.services import ProviderServices


def places(number: int) -> Shares:
    return ProviderServices().shares("test", number, waiting=1_000, refusal=provider_busy)


async def test_a_query_runs_while_every_document_thread_is_busy() -> None:
    started, gate, seen = threading.Event(), threading.Event(), list[str]()

    def either(texts: Sequence[str]) -> Vectors:
        if "document" in texts:
            started.set()
            assert gate.wait(5)
            seen.extend(texts)
        return [[0.0] for _ in texts]

    embedder = MinilmEmbedder(either, places(1), places(2))
    documents = asyncio.create_task(embedder.embed(["document"] * 100, "document"))
    assert await asyncio.to_thread(started.wait, 5)
    assert await asyncio.wait_for(embedder.embed(["query"], "query"), 5) == [[0.0]]
    assert seen == []
    gate.set()
    assert len(await documents) == 100
    await embedder.aclose()


async def test_only_document_threads_give_way_to_others() -> None:
    priorities: dict[str, int] = {}

    def note(texts: Sequence[str]) -> Vectors:
        priorities[texts[0]] = _niceness()
        time.sleep(0.01)
        return [[1.0] for _ in texts]

    embedder = MinilmEmbedder(note, places(1), places(1))
    await asyncio.gather(embedder.embed(["query"], "query"), embedder.embed(["document"], "document"))
    await embedder.aclose()
    assert priorities["query"] == _niceness()
    assert priorities["document"] >= priorities["query"]


def _niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
