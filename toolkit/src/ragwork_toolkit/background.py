"""Background tasks: kept until they end, named, bounded in number, finished at shutdown.

Users: agent, documents, resilience, rego.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Seconds that a task has to end in once it is cancelled.
GRACE_S: Final = 1.0


class BackgroundTasks:
    """Tasks that may outlive whoever started them; the event loop itself would not even keep them.

    ``at_most`` bounds how many are under way; ``None`` where whatever starts them is bounded. ``finish_s`` bounds
    the wait at shutdown; ``None`` waits for every task. What a task raises and nobody awaits is logged by asyncio.
    """

    def __init__(self, *, at_most: int | None = None, finish_s: float | None = None) -> None:
        self._at_most = at_most
        self._finish_s = finish_s
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def full(self) -> bool:
        """Whether no further task may start now."""
        return self._at_most is not None and len(self._tasks) >= self._at_most

    def start(self, work: Coroutine[Any, Any, T], name: str) -> "asyncio.Task[T]":
        """``work`` as a task called ``name``. Raises ``RuntimeError`` when ``full``."""
        if self.full:
            work.close()
            raise RuntimeError(f"{name!r} can't start: {self._at_most} tasks are under way; ask `full` first")
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self) -> None:
        """Wait for all tasks, also for those that they start; cancel what is left after ``finish_s`` seconds."""
        try:
            async with asyncio.timeout(self._finish_s):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        except TimeoutError:
            for task in self._tasks:
                log.warning("%s is cancelled: not over within %s s", task.get_name(), self._finish_s)
                task.cancel()
            await asyncio.wait(self._tasks, timeout=GRACE_S)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """For ``Contribution.lifespan``: the end of serving waits in ``finish``."""
        try:
            yield
        finally:
            await self.finish()
