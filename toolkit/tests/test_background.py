"""Background tasks are kept, bounded, and over when their plugin is."""

import asyncio
import gc
import weakref

import pytest
from ragwork_toolkit.background import BackgroundTasks


async def test_a_task_that_nobody_holds_runs_to_its_end() -> None:
    tasks, ended = BackgroundTasks(), asyncio.Event()

    async def work() -> None:
        waited = asyncio.get_running_loop().create_future()
        # Only the task knows the future and only the future the task: a cycle that a collection may take.
        held = weakref.ref(waited)
        asyncio.get_running_loop().call_later(0.05, lambda: (f := held()) is not None and f.set_result(None))
        await waited
        ended.set()

    assert tasks.start(work(), "kept").get_name() == "kept"
    await asyncio.sleep(0)
    gc.collect()
    async with asyncio.timeout(5):
        await ended.wait()


async def test_finish_waits_also_for_what_the_tasks_start() -> None:
    tasks, ends = BackgroundTasks(), list[str]()

    async def child() -> None:
        await asyncio.sleep(0.01)
        ends.append("child")

    async def parent() -> None:
        tasks.start(child(), "child")
        ends.append("parent")

    async with tasks.lifespan():
        tasks.start(parent(), "parent")
    assert ends == ["parent", "child"]


async def test_a_full_set_takes_no_more_until_one_ends() -> None:
    tasks, gate = BackgroundTasks(at_most=1), asyncio.Event()
    task = tasks.start(gate.wait(), "first")
    assert tasks.full
    with pytest.raises(RuntimeError, match="'second' can't start: 1 tasks are under way"):
        tasks.start(gate.wait(), "second")
    gate.set()
    await task
    assert not tasks.full


async def test_what_is_not_over_in_time_is_cancelled_and_named(caplog: pytest.LogCaptureFixture) -> None:
    tasks = BackgroundTasks(finish_s=0.05)
    task = tasks.start(asyncio.Event().wait(), "stuck")
    await tasks.finish()
    assert task.cancelled()
    assert "stuck is cancelled: not over within 0.05 s" in caplog.text


async def test_a_failure_is_its_awaiters_and_does_not_end_the_wait() -> None:
    tasks = BackgroundTasks()

    async def fails() -> None:
        raise ValueError("no")

    task = tasks.start(fails(), "fails")
    await tasks.finish()
    with pytest.raises(ValueError, match="no"):
        await task
