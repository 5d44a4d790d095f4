"""From the run that makes frames to the stream that sends them: bounded, in order, ended once."""

import asyncio
from collections.abc import Sequence

from ragwork_hooks.http import StreamEvent


class StreamEventQueue:
    """At most ``limit`` frames between one maker and one sender, who takes all that are there at once.

    A full outlet makes the maker wait: back-pressure, no growing buffer. A list and two events rather than
    a queue, because this stands between the model and the client for every token.
    """

    def __init__(self, limit: int = 32) -> None:
        self._limit = limit
        self._frames: list[StreamEvent] = []
        self._filled = asyncio.Event()
        self._taken = asyncio.Event()
        self._closed = False

    def offer(self, frame: StreamEvent) -> bool:
        """Hand over a frame, if there is room."""
        if len(self._frames) >= self._limit:
            return False
        self._frames.append(frame)
        self._filled.set()
        return True

    async def put(self, frame: StreamEvent) -> None:
        """Hand over a frame as soon as there is room."""
        while not self.offer(frame):
            self._taken.clear()
            await self._taken.wait()

    def close(self) -> None:
        """Nothing follows; what is under way is still sent."""
        self._closed = True
        self._filled.set()

    async def take(self) -> Sequence[StreamEvent]:
        """The frames that are there, waited for if there are none; empty once nothing follows."""
        while not self._frames and not self._closed:
            self._filled.clear()
            await self._filled.wait()
        frames, self._frames = self._frames, []
        self._taken.set()
        return frames
