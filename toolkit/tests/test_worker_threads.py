"""Fairness, bounds, cancellation and closing of a provider's threads."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence

import pytest
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.shares import Shares, provider_busy
from ragwork_kernel.base.shares import work_for
from ragwork_testkit.services import ProviderServices
from ragwork_toolkit.worker_threads import WorkerThreads

SLICE = 4


class Work:
    """Stands where a model does: notes what it is given, and waits until it is let through."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.gate = threading.Event()
        self.started = threading.Event()

    def __call__(self, texts: Sequence[str]) -> list[float]:
        self.started.set()
        assert self.gate.wait(5)
        self.seen += texts
        return [float(len(text)) for text in texts]

    async def under_way(self) -> None:
        assert await asyncio.to_thread(self.started.wait, 5)


def places(number: int, waiting: int = 1_000) -> Shares:
    return ProviderServices().shares("test", number, waiting=waiting, refusal=provider_busy)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
async def threads(work: Work) -> AsyncIterator[WorkerThreads]:
    threads = WorkerThreads("test", places(1))
    yield threads
    work.gate.set()
    await threads.aclose()


async def test_a_small_call_waits_for_one_slice_of_a_large_one(threads: WorkerThreads, work: Work) -> None:
    large = asyncio.create_task(threads.run_slices(work, ["large"] * 100, SLICE))
    await work.under_way()
    small = asyncio.create_task(threads.run_slices(work, ["small"], SLICE))
    await asyncio.sleep(0)
    work.gate.set()
    await asyncio.gather(large, small)
    assert work.seen.index("small") <= 2 * SLICE


async def test_slices_of_a_cancelled_call_are_never_run(threads: WorkerThreads, work: Work) -> None:
    running = asyncio.create_task(threads.run_slices(work, ["running"], SLICE))
    await work.under_way()
    cancelled = [
        asyncio.create_task(threads.run_slices(work, ["cancelled"] * size, SLICE)) for size in (1, 50)
    ]
    await asyncio.sleep(0)
    for call in cancelled:
        call.cancel()
    await asyncio.wait(cancelled)
    work.gate.set()
    await running
    await threads.run_slices(work, ["after"], SLICE)
    assert work.seen == ["running", "after"]


async def test_a_call_too_many_is_refused_as_retryable(work: Work) -> None:
    threads = WorkerThreads("test", places(1, waiting=2))
    waiting = [asyncio.create_task(threads.run_slices(work, ["waits"], SLICE)) for _ in range(3)]
    await work.under_way()
    with pytest.raises(ProviderError) as refused:
        await threads.run_slices(work, ["too many"], SLICE)
    assert (refused.value.code, refused.value.retryable) == ("SERVICE_BUSY", True)
    work.gate.set()
    await asyncio.gather(*waiting)
    assert await threads.run_slices(work, ["fits"], SLICE) == [4.0]
    await threads.aclose()


async def test_a_tenant_with_many_large_calls_delays_another_by_one_slice(
    threads: WorkerThreads, work: Work
) -> None:
    with work_for("greedy"):
        large = [
            asyncio.create_task(threads.run_slices(work, [f"large{number}"] * 20, SLICE))
            for number in range(10)
        ]
    await work.under_way()
    with work_for("modest"):
        small = asyncio.create_task(threads.run_slices(work, ["small"], SLICE))
    await asyncio.sleep(0)
    work.gate.set()
    await asyncio.gather(*large, small)
    assert work.seen.index("small") <= 2 * SLICE


async def test_closing_ends_waiting_calls_with_an_error(threads: WorkerThreads, work: Work) -> None:
    running = asyncio.create_task(threads.run_slices(work, ["running"], SLICE))
    await work.under_way()
    waiting = [asyncio.create_task(threads.run_slices(work, ["waits"] * size, SLICE)) for size in (1, 50)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(threads.aclose())
    await asyncio.sleep(0)
    work.gate.set()
    await closing
    assert await running == [7.0]
    for call in waiting:
        with pytest.raises(ProviderError, match="INTEGRATION_UNAVAILABLE"):
            await call
    with pytest.raises(ProviderError, match="INTEGRATION_UNAVAILABLE"):
        await threads.run_slices(work, ["late"], SLICE)


async def test_a_failure_ends_its_call_at_once_and_not_the_threads() -> None:
    done: list[str] = []

    def work(texts: Sequence[str]) -> list[float]:
        if "bad" in texts:
            raise MemoryError("no room")
        time.sleep(0.001)
        done.extend(texts)
        return [1.0 for _ in texts]

    threads = WorkerThreads("test", places(2))
    with pytest.raises(MemoryError):
        await threads.run_slices(work, ["good"] * 9 + ["bad"] + ["good"] * 2_000, SLICE)
    await asyncio.sleep(0.2)
    assert len(await threads.run_slices(work, ["next"] * 9, SLICE)) == 9
    await threads.aclose()
    assert done.count("good") < 100
