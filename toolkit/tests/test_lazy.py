"""Lazy imports: once for everybody, in a thread, and no caller's cancellation undoes it."""

import asyncio
import threading

import pytest
from ragwork_toolkit.lazy import LazyImport


async def test_all_wait_for_one_load_which_runs_off_the_event_loop() -> None:
    loads: list[threading.Thread] = []

    def load() -> object:
        loads.append(threading.current_thread())
        return object()

    lazy = LazyImport(load)
    first, *others = await asyncio.gather(*(lazy.get() for _ in range(5)))
    assert all(other is first for other in others)
    assert await lazy.get() is first
    assert len(loads) == 1
    assert loads[0] is not threading.main_thread()


async def test_who_is_cancelled_leaves_the_load_to_the_others() -> None:
    gate, loads = threading.Event(), list[str]()

    def load() -> str:
        loads.append("load")
        assert gate.wait(10)
        return "loaded"

    lazy = LazyImport(load)
    leaver, waiter = asyncio.create_task(lazy.get()), asyncio.create_task(lazy.get())
    await asyncio.sleep(0.01)
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    gate.set()
    assert await waiter == "loaded"
    assert loads == ["load"]


async def test_a_failure_is_raised_and_tried_again() -> None:
    answers = iter([ImportError("not installed"), "loaded"])

    def load() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    lazy = LazyImport(load)
    with pytest.raises(ImportError, match="not installed"):
        await lazy.get()
    assert await lazy.get() == "loaded"


async def test_release_waits_for_the_load_and_hands_it_over_once() -> None:
    gate = threading.Event()
    lazy = LazyImport(lambda: gate.wait(10))
    assert await lazy.release() is None
    getting = asyncio.create_task(lazy.get())
    await asyncio.sleep(0.01)
    asyncio.get_running_loop().call_later(0.05, gate.set)
    assert await lazy.release() is True
    assert await lazy.release() is None
    assert await getting is True
