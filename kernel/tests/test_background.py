"""Loops end when they are told to, also when the cancellation got lost in what they awaited."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from ragwork_kernel.base.resilient_loops import forever
from ragwork_kernel.boot.boot import repeat


async def loses_its_cancellation() -> None:
    """As ``wait_for`` does when what it waits for is done in that very moment."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return


@pytest.mark.parametrize(
    "loop", [lambda step: repeat("t", 0.0, step), lambda step: forever("t", step)], ids=["ticker", "worker"]
)
async def test_a_loop_ends_whose_step_lost_the_cancellation(
    loop: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]],
) -> None:
    task = asyncio.ensure_future(loop(loses_its_cancellation))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 2)
    assert task.done()
