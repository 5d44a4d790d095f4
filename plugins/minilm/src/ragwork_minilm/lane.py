"""Threads that work off slices of calls, each slice in a place of its tenant's share.

A call waits for only as many slices at once as there are threads, so the calls of one tenant share fairly, too.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeAlias

from ragwork_hooks.errors import ProviderError
from ragwork_hooks.shares import Shares, in_thread

Vectors: TypeAlias = list[list[float]]
#: Slices that may wait; more is refused rather than queued without end.
MAX_WAITING: Final = 1_000
#: Texts per slice: what a cancelled call may still cost, and how often a thread turns to the next call.
SLICE: Final = 4


class Lane:
    """Runs ``work`` for one event loop on a thread of its own for each place; ``prepare`` starts each thread."""

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[str]], Vectors],
        places: Shares,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self._work = work
        self._places = places
        self._pool = ThreadPoolExecutor(places.places, thread_name_prefix=name, initializer=prepare)
        self._closed = False

    async def run(self, texts: Sequence[str]) -> Vectors:
        """One vector per text, in order. A cancelled call's waiting slices are never run.

        Raises ``ProviderError`` SERVICE_BUSY when too many wait, INTEGRATION_UNAVAILABLE after ``aclose``.
        """
        return await (self._slice(texts) if len(texts) <= SLICE else self._slices(texts))

    async def aclose(self) -> None:
        """End after the slices that run now; what waits is refused. Idempotent."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._pool.shutdown)

    async def _slices(self, texts: Sequence[str]) -> Vectors:
        starts = range(0, len(texts), SLICE)
        parts: list[Vectors] = [[] for _ in starts]
        todo = iter(enumerate(starts))
        workers = [asyncio.create_task(self._drain(texts, todo, parts)) for _ in range(self._places.places)]
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
            return await in_thread(self._places, self._pool, partial(self._work, texts))
        except RuntimeError:
            if self._closed:
                raise _closed() from None
            raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                raise _closed() from None
            raise


def _closed() -> ProviderError:
    return ProviderError("INTEGRATION_UNAVAILABLE", "The embedder is closed")
