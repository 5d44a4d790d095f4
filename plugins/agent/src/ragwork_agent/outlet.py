"""From the run that makes frames to the stream that sends them: bounded, in order, ended once."""

import asyncio
from collections.abc import AsyncIterator

from ragwork_hooks.http import Frame


class Outlet:
    """A queue of at most ``limit`` frames. A full one makes the maker wait: back-pressure, no buffer."""

    def __init__(self, limit: int = 64) -> None:
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue()
        # The bound is a semaphore beside the queue, so that closing never has to wait for room.
        self._room = asyncio.Semaphore(limit)

    async def put(self, frame: Frame) -> None:
        """Hand over a frame as soon as there is room."""
        await self._room.acquire()
        self._frames.put_nowait(frame)

    def close(self) -> None:
        """Nothing follows."""
        self._frames.put_nowait(None)

    async def frames(self) -> AsyncIterator[Frame]:
        """The frames until ``close``."""
        while (frame := await self._frames.get()) is not None:
            self._room.release()
            yield frame
