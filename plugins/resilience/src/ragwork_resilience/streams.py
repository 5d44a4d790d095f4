"""A guarded stream: repeated only before its first piece, timed between pieces, closed within a second."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final, Generic, TypeVar

import attrs
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.shares import Share

from ragwork_resilience.breaker import CallPermit
from ragwork_resilience.guard import GRACE_S, AttemptPermit, Guard
from ragwork_resilience.retry import RetryBudget

T = TypeVar("T")

#: Pieces that a source may be ahead of its reader: it pauses then, so a slow reader bounds the memory.
AHEAD: Final = 16


class Pump(Generic[T]):
    """Reads a source in a task of its own, where it begins, is closed, and can be left behind."""

    def __init__(self, guard: Guard, source: AsyncGenerator[T, None], place: Share) -> None:
        self._guard = guard
        self._pieces: list[T] = []
        self._reader: asyncio.Future[None] | None = None
        self._room = asyncio.Event()
        self._task = guard.start(self._pull(source), float("inf"), place)
        self._task.add_done_callback(lambda _: self._wake())

    async def next(self, wait_s: float) -> Sequence[T]:
        """The pieces that came, at least one; none once the source has ended.

        Raises the source's error as one of the contract, and a retryable ``ProviderError`` when nothing
        came for ``wait_s`` seconds.
        """
        if not self._pieces and not self._task.done():
            await self._wait(wait_s)
        pieces, self._pieces = self._pieces, []
        if pieces:
            self._room.set()
            return pieces
        if not self._task.done():
            raise self._guard.late(wait_s)
        error = self._guard.failure(self._task)
        if error is not None:
            raise error
        return ()

    def give_up(self) -> None:
        """End the source's work without waiting for it."""
        if not self._task.done():
            self._guard.give_up(self._task)

    async def aclose(self) -> None:
        """End the source's work; wait for it a second at most."""
        self.give_up()
        if not self._task.done():
            await asyncio.wait({self._task}, timeout=GRACE_S)

    async def _pull(self, source: AsyncGenerator[T, None]) -> None:
        async with aclosing(source):
            async for piece in source:
                self._pieces.append(piece)
                self._wake()
                if len(self._pieces) >= AHEAD:
                    self._room.clear()
                    await self._room.wait()

    async def _wait(self, wait_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._reader = loop.create_future()
        timer = loop.call_later(wait_s, self._wake)
        try:
            await self._reader
        finally:
            timer.cancel()
            self._reader = None

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


async def guarded(guard: Guard, source: Callable[[], AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """The pieces of ``source()``. What fails before the first is repeated, a later failure is final."""
    tries = guard.begin()
    while True:
        attempt_permit = await guard.admit("", tries)
        pump = Pump(guard, source(), attempt_permit.place)
        try:
            pieces = await _first(guard, pump, attempt_permit, tries)
            break
        except ProviderError as error:
            await guard.pause(tries, error)
    if attempt_permit.call_permit.probe is not None:
        # A probe's place is not kept for as long as an answer may take: that it began will do.
        await guard.tell(attempt_permit, None)
        attempt_permit = attrs.evolve(
            attempt_permit, call_permit=CallPermit(attempt_permit.call_permit.generation)
        )
    try:
        while pieces:
            for piece in pieces:
                yield piece
            pieces = await pump.next(guard.policy.timeout_s)
        await guard.tell(attempt_permit, None)
    except ProviderError as error:
        await guard.tell(attempt_permit, error)
        raise
    finally:
        await pump.aclose()


async def _first(
    guard: Guard, pump: Pump[T], attempt_permit: AttemptPermit, tries: RetryBudget
) -> Sequence[T]:
    """The first pieces, within the time of an attempt. Whatever is raised, the attempt is over."""
    began = asyncio.get_running_loop().time()
    try:
        pieces = await pump.next(min(guard.policy.timeout_s, tries.deadline - began))
    except ProviderError as error:
        pump.give_up()
        await guard.tell(attempt_permit, error)
        raise
    except BaseException:
        pump.give_up()
        guard.tell_later(attempt_permit)
        raise
    finally:
        guard.observe(asyncio.get_running_loop().time() - began)
    return pieces
