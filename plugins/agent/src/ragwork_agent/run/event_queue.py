"""From the run that makes frames to the stream that sends them: bounded, in order, ended once."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from ragwork_hooks.http import StreamEvent


class StreamEventQueue:
    """At most ``limit`` frames under way between one maker and one sender.

    A full outlet makes the maker wait: back-pressure, no growing buffer. A deque and two events rather than
    a queue, because this stands between the model and the client for every token.
    """

    def __init__(self, limit: int = 64) -> None:
        self._limit = limit
        self._frames: deque[StreamEvent] = deque()
        self._filled = asyncio.Event()
        self._taken = asyncio.Event()
        self._closed = False

    async def put(self, frame: StreamEvent) -> None:
        """Hand over a frame as soon as there is room."""
        while len(self._frames) >= self._limit:
            self._taken.clear()
            await self._taken.wait()
        self._frames.append(frame)
        self._filled.set()

    def close(self) -> None:
        """Nothing follows; what is under way is still sent."""
        self._closed = True
        self._filled.set()

    async def frames(self) -> AsyncIterator[StreamEvent]:
        """The frames until ``close``."""
        while True:
            while self._frames:
                yield self._frames.popleft()
                self._taken.set()
            if self._closed:
                return
            self._filled.clear()
            await self._filled.wait()
