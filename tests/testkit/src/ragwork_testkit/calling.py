"""What holds for a call of anything: it leaves the event loop to others, and ends when its caller leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from ragwork_testkit.loop_watch import LoopWatch, watching_loop
from ragwork_testkit.promises import BrokenPromise

#: One ordinary call.
Use: TypeAlias = Callable[[], Awaitable[object]]
#: Longest time in seconds that a call may keep the event loop from its other work.
MAX_STALL_S: Final = 0.05
#: Longest time in seconds until a cancelled call has ended.
CANCEL_S: Final = 1.0
_ATTEMPTS: Final = 3
#: Turns of the loop after which a call is cancelled: each is another place in it.
_TURNS: Final = (0, 1, 2, 3, 5, 8)


async def check_loop_goes_on(use: Use) -> None:
    """Raises ``BrokenPromise`` when ``use`` blocks the loop every time."""
    watches: list[LoopWatch] = []
    for _ in range(_ATTEMPTS):  # another process may have had the processor
        async with watching_loop() as watch:
            await use()
        watches.append(watch)
        if watch.worst <= MAX_STALL_S:
            return
    check_stall(min(watches, key=lambda watch: watch.worst), "a call")


def check_stall(watch: LoopWatch, what: str) -> None:
    """Raises ``BrokenPromise`` naming the line that blocked the loop, if one did."""
    if watch.worst > MAX_STALL_S:
        raise BrokenPromise(
            f"{what} never blocks the event loop for more than {MAX_STALL_S * 1000:.0f} ms",
            "await an asynchronous client, or move the work to a thread with `asyncio.to_thread`",
            f"it stood still for {watch.worst * 1000:.0f} ms in {watch.where}",
        )


async def check_cancellation(use: Use) -> None:
    """Raises ``BrokenPromise`` when a cancelled ``use`` goes on, or ends with anything but ``CancelledError``."""
    for turns in _TURNS:
        task = asyncio.ensure_future(use())
        for _ in range(turns):
            await asyncio.sleep(0)
        was_running = not task.done()
        await cancel(task)
        if was_running and not task.cancelled():
            raise BrokenPromise(
                "a call that is cancelled ends with CancelledError",
                "don't catch it, or raise it again when the cleaning up is done",
                f"it ended with {task.exception() or 'a result'!r}",
            )


async def cancel(task: "asyncio.Future[object]") -> None:
    """Cancel and wait for the end. A broken promise that ended it is raised."""
    task.cancel()
    await asyncio.wait({task}, timeout=CANCEL_S)
    if not task.done():
        raise BrokenPromise(
            f"a cancelled call ends within {CANCEL_S:g} s",
            "let CancelledError pass, and wait for nothing in `finally` that takes long",
        )
    if not task.cancelled() and isinstance(error := task.exception(), BrokenPromise):
        raise error
