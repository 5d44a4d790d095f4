"""Threads that work off slices of calls, in the order in which the slices arrive.

A call has only as many slices in the queue as there are threads, so calls share the threads fairly, and
the queue is as long as the number of waiting calls allows.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

from ragwork_hooks.errors import ProviderError

Vectors: TypeAlias = list[list[float]]
#: Calls that may be under way at once; more is refused rather than queued without end.
MAX_CALLS: Final = 1_000
#: Texts per slice: what a cancelled call may still cost, and how often a thread turns to the next call.
SLICE: Final = 4


class Lane:
    """Runs ``work`` for one event loop on ``threads`` threads of its own; ``prepare`` starts each thread."""

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[str]], Vectors],
        threads: int,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self._work = work
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name, initializer=prepare)
        self._calls = 0
        self._closed = False

    async def run(self, texts: Sequence[str]) -> Vectors:
        """One vector per text, in order. A cancelled call's waiting slices leave the queue.

        Raises ``ProviderError`` SERVICE_BUSY when too many calls wait, INTEGRATION_UNAVAILABLE after
        ``aclose``.
        """
        if self._calls >= MAX_CALLS:
            raise ProviderError(
                "SERVICE_BUSY", "Too many texts wait to be embedded", retryable=True, retry_after_s=1.0
            )
        self._calls += 1
        try:
            if len(texts) <= SLICE:
                return await self._slice(texts)
            return await self._slices(texts)
        finally:
            self._calls -= 1

    async def aclose(self) -> None:
        """End after the slices that run now; what waits is refused. Idempotent."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._pool.shutdown)

    async def _slices(self, texts: Sequence[str]) -> Vectors:
        starts = range(0, len(texts), SLICE)
        parts: list[Vectors] = [[] for _ in starts]
        todo = iter(enumerate(starts))
        workers = [asyncio.create_task(self._drain(texts, todo, parts)) for _ in range(self._threads)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
        return [vector for part in parts for vector in part]

    async def _drain(
        self, texts: Sequence[str], todo: Iterator[tuple[int, int]], parts: list[Vectors]
    ) -> None:
        for index, start in todo:
            parts[index] = await self._slice(texts[start : start + SLICE])

    async def _slice(self, texts: Sequence[str]) -> Vectors:
        if self._closed:
            raise _closed()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._work, texts)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                raise _closed() from None
            raise


def _closed() -> ProviderError:
    return ProviderError("INTEGRATION_UNAVAILABLE", "The embedder is closed")
