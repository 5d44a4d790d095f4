"""Fairness, bounds, cancellation and closing of the threads that embed."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Sequence

import pytest
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.shares import Shares, provider_busy
from ragwork_kernel.shares import work_for
from ragwork_minilm.embedder import MinilmEmbedder
from ragwork_minilm.lane import SLICE, Lane, Vectors
from ragwork_testkit.services import ProviderServices


class Work:
    """Stands where the model does: notes what it is given, and waits until it is let through."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.gate = threading.Event()
        self.started = threading.Event()

    def __call__(self, texts: Sequence[str]) -> Vectors:
        self.started.set()
        assert self.gate.wait(5)
        self.seen += texts
        return [[float(len(text))] for text in texts]

    async def under_way(self) -> None:
        assert await asyncio.to_thread(self.started.wait, 5)


def places(number: int, waiting: int = 1_000) -> Shares:
    return ProviderServices().shares("test", number, waiting=waiting, refusal=provider_busy)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
async def lane(work: Work) -> AsyncIterator[Lane]:
    lane = Lane("test", work, places(1))
    yield lane
    work.gate.set()
    await lane.aclose()


async def test_a_small_call_waits_for_one_slice_of_a_large_one(lane: Lane, work: Work) -> None:
    large = asyncio.create_task(lane.run(["large"] * 100))
    await work.under_way()
    small = asyncio.create_task(lane.run(["small"]))
    await asyncio.sleep(0)
    work.gate.set()
    await asyncio.gather(large, small)
    assert work.seen.index("small") <= 2 * SLICE


async def test_slices_of_a_cancelled_call_are_never_run(lane: Lane, work: Work) -> None:
    running = asyncio.create_task(lane.run(["running"]))
    await work.under_way()
    cancelled = [asyncio.create_task(lane.run(["cancelled"] * size)) for size in (1, 50)]
    await asyncio.sleep(0)
    for call in cancelled:
        call.cancel()
    await asyncio.wait(cancelled)
    work.gate.set()
    await running
    await lane.run(["after"])
    assert work.seen == ["running", "after"]


async def test_a_call_too_many_is_refused_as_retryable(work: Work) -> None:
    lane = Lane("test", work, places(1, waiting=2))
    waiting = [asyncio.create_task(lane.run(["waits"])) for _ in range(3)]
    await work.under_way()
    with pytest.raises(ProviderError) as refused:
        await lane.run(["too many"])
    assert (refused.value.code, refused.value.retryable) == ("SERVICE_BUSY", True)
    work.gate.set()
    await asyncio.gather(*waiting)
    assert await lane.run(["fits"]) == [[4.0]]
    await lane.aclose()


async def test_a_tenant_with_many_large_calls_delays_another_by_one_slice(lane: Lane, work: Work) -> None:
    with work_for("greedy"):
        large = [asyncio.create_task(lane.run([f"large{number}"] * 20)) for number in range(10)]
    await work.under_way()
    with work_for("modest"):
        small = asyncio.create_task(lane.run(["small"]))
    await asyncio.sleep(0)
    work.gate.set()
    await asyncio.gather(*large, small)
    assert work.seen.index("small") <= 2 * SLICE


async def test_closing_ends_waiting_calls_with_an_error(lane: Lane, work: Work) -> None:
    running = asyncio.create_task(lane.run(["running"]))
    await work.under_way()
    waiting = [asyncio.create_task(lane.run(["waits"] * size)) for size in (1, 50)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(lane.aclose())
    await asyncio.sleep(0)
    work.gate.set()
    await closing
    assert await running == [[7.0]]
    for call in waiting:
        with pytest.raises(ProviderError, match="INTEGRATION_UNAVAILABLE"):
            await call
    with pytest.raises(ProviderError, match="INTEGRATION_UNAVAILABLE"):
        await lane.run(["late"])


async def test_a_failure_ends_its_call_at_once_and_not_the_lane() -> None:
    done: list[str] = []

    def work(texts: Sequence[str]) -> Vectors:
        if "bad" in texts:
            raise MemoryError("no room")
        time.sleep(0.001)
        done.extend(texts)
        return [[1.0] for _ in texts]

    lane = Lane("test", work, places(2))
    with pytest.raises(MemoryError):
        await lane.run(["good"] * 9 + ["bad"] + ["good"] * 2_000)
    await asyncio.sleep(0.2)
    assert len(await lane.run(["next"] * 9)) == 9
    await lane.aclose()
    assert done.count("good") < 100


async def test_a_query_runs_while_every_document_thread_is_busy(work: Work) -> None:
    def either(texts: Sequence[str]) -> Vectors:
        return [[0.0]] if texts == ["query"] else work(texts)

    embedder = MinilmEmbedder(either, places(1), places(2))
    documents = asyncio.create_task(embedder.embed(["document"] * 100, "document"))
    await work.under_way()
    assert await asyncio.wait_for(embedder.embed(["query"], "query"), 5) == [[0.0]]
    assert work.seen == []
    work.gate.set()
    assert len(await documents) == 100
    await embedder.aclose()


async def test_only_document_threads_give_way_to_others(work: Work) -> None:
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
