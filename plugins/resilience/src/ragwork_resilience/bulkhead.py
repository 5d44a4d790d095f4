"""A bounded number of places, handed out fairly: whoever holds the fewest is served first."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs

#: How long a caller refused for want of a place is told to wait, in seconds.
RETRY_AFTER_S: Final = 1


@attrs.define(eq=False)
class Slot:
    """A place, taken. Giving it back twice gives it back once."""

    _give_back: Callable[[], None] | None

    def release(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()


@attrs.frozen(eq=False)
class _Waiter:
    number: int
    turn: "asyncio.Future[bool]"


class Bulkhead:
    """``limit`` places for one event loop.

    Of the owners that wait, the one with the fewest places gets the next; among equals whoever came
    first; one owner's own waiters in order. So a tenant with a hundred waiters delays another's first
    by one place at most.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._held: dict[str, int] = {}
        self._waiting: dict[str, deque[_Waiter]] = {}
        self._arrivals = 0

    @property
    def taken(self) -> int:
        return self._taken

    @property
    def waiting(self) -> int:
        return sum(len(queue) for queue in self._waiting.values())

    async def take(self, owner: str, wait_s: float) -> Slot | None:
        """A place, or ``None`` when none came free within ``wait_s`` seconds."""
        if self._taken < self._limit:
            return self._hand_out(owner)
        if wait_s <= 0:
            return None
        loop = asyncio.get_running_loop()
        self._arrivals += 1
        waiter = _Waiter(self._arrivals, loop.create_future())
        self._waiting.setdefault(owner, deque()).append(waiter)
        timer = loop.call_later(wait_s, _settle, waiter.turn, False)
        try:
            granted = await waiter.turn
        except asyncio.CancelledError:
            # The turn may have come in the very moment in which its owner left.
            if waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.result():
                self._give_back(owner)
            raise
        finally:
            timer.cancel()
            self._forget(owner, waiter)
        return self._slot(owner) if granted else None

    def _hand_out(self, owner: str) -> Slot:
        self._count(owner)
        return self._slot(owner)

    def _slot(self, owner: str) -> Slot:
        return Slot(lambda: self._give_back(owner))

    def _count(self, owner: str) -> None:
        self._taken += 1
        self._held[owner] = self._held.get(owner, 0) + 1

    def _give_back(self, owner: str) -> None:
        self._taken -= 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        self._serve()

    def _serve(self) -> None:
        """Hand the free place to who is next; its holder is counted before it wakes."""
        waiting = [
            (self._held.get(owner, 0), waiter.number, owner, waiter)
            for owner, queue in self._waiting.items()
            if (waiter := next((w for w in queue if not w.turn.done()), None)) is not None
        ]
        if waiting:
            _held, _number, owner, waiter = min(waiting, key=lambda row: row[:2])
            self._count(owner)
            waiter.turn.set_result(True)

    def _forget(self, owner: str, waiter: _Waiter) -> None:
        queue = self._waiting[owner]
        queue.remove(waiter)
        if not queue:
            del self._waiting[owner]


def _settle(turn: "asyncio.Future[bool]", granted: bool) -> None:
    if not turn.done():
        turn.set_result(granted)
