"""Worker threads of a provider: in fair turns, refused when too many wait, and refused after closing.

Users: espeak, and embedders by `threaded_embedder`.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from ragwork_hooks.errors import ProviderError
from ragwork_hooks.shares import Shares, in_thread

T = TypeVar("T")
R = TypeVar("R")


class WorkerThreads:
    """A thread for each of ``places``, for one event loop; ``prepare`` runs first in each thread.

    Every call raises the refusal of ``places`` when too many wait, and ``ProviderError``
    INTEGRATION_UNAVAILABLE after ``aclose``.
    """

    def __init__(self, name: str, places: Shares, prepare: Callable[[], None] | None = None) -> None:
        self._name = name
        self._places = places
        self._pool = ThreadPoolExecutor(places.places, thread_name_prefix=name, initializer=prepare)
        self._closed = False

    def refuse_if_closed(self) -> None:
        """Raises the ``ProviderError`` of a call after ``aclose``."""
        if self._closed:
            raise ProviderError("INTEGRATION_UNAVAILABLE", f"{self._name} is closed")

    async def run(self, work: Callable[[], R]) -> R:
        """``work()`` on a thread. What waits when its caller is cancelled is never run."""
        self.refuse_if_closed()
        try:
            return await in_thread(self._places, self._pool, work)
        except RuntimeError:
            self.refuse_if_closed()
            raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and not task.cancelling():
                # Nobody cancelled this call: ``aclose`` emptied the queue.
                self.refuse_if_closed()
            raise

    async def run_slices(
        self, work: Callable[[Sequence[T]], list[R]], items: Sequence[T], size: int
    ) -> list[R]:
        """``work(slice)`` for slices of ``size`` items; the results in the items' order.

        Between two slices others have their turn. A call waits for only as many slices at once as there are
        threads, so the calls of one tenant share fairly, too.
        """
        if len(items) <= size:
            return await self.run(partial(work, items))
        starts = range(0, len(items), size)
        parts: list[list[R]] = [[] for _ in starts]
        todo = iter(enumerate(starts))

        async def drain(todo: Iterator[tuple[int, int]]) -> None:
            for index, start in todo:
                parts[index] = await self.run(partial(work, items[start : start + size]))

        drains = [asyncio.create_task(drain(todo)) for _ in range(self._places.places)]
        try:
            await asyncio.gather(*drains)
        finally:
            for each in drains:
                each.cancel()
        return [result for part in parts for result in part]

    async def aclose(self) -> None:
        """End after what runs now; what waits is refused. Idempotent."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._pool.shutdown)
