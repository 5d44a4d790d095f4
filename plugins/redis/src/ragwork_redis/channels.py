"""Pub/sub: one connection for all subscriptions of the process, made again whenever it breaks."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final, Protocol, cast

from redis.asyncio import ConnectionPool, Redis

log = logging.getLogger(__name__)
QUEUE_SIZE: Final = 256
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
#: How long the line may be silent before it is asked for a sign of life, and as long again to give it.
_SILENCE_S: Final = 1.0


class ChannelSubscription(Protocol):
    """What is used of redis-py's pub/sub client, which has no types of its own for it."""

    async def subscribe(self, *channels: bytes) -> None: ...
    async def unsubscribe(self, *channels: bytes) -> None: ...
    async def ping(self) -> Any: ...
    async def get_message(self, *, timeout: float) -> Mapping[str, Any] | None: ...
    async def aclose(self) -> None: ...


class Channels:
    """Hands each message to every subscriber; who is ``QUEUE_SIZE`` messages behind loses the oldest."""

    def __init__(self, pool: ConnectionPool, timeout_s: float) -> None:
        self._pool = pool
        self._timeout_s = timeout_s
        self._queues: dict[bytes, set[asyncio.Queue[bytes]]] = {}
        self._line: ChannelSubscription | None = None
        self._listening: asyncio.Task[None] | None = None

    async def messages(self, channel: bytes) -> AsyncGenerator[bytes, None]:
        """Messages published after the first ``anext``; closing the iterator ends the subscription."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE_SIZE)
        queues = self._queues.setdefault(channel, set())
        queues.add(queue)
        try:
            if len(queues) == 1:
                await self._tell("subscribe", channel)
            while True:
                yield await queue.get()
        finally:
            queues.discard(queue)
            if not queues and self._queues.get(channel) is queues:
                del self._queues[channel]
                await self._tell("unsubscribe", channel)

    async def close(self) -> None:
        """End listening. Who still iterates gets no more messages."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def _tell(self, what: str, channel: bytes) -> None:
        """Change what the line listens to. A line that can't be told is made anew with all channels."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen(), name="redis channels")
            return
        line = self._line
        if line is None:
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await (line.subscribe(channel) if what == "subscribe" else line.unsubscribe(channel))
        except Exception as error:
            log.debug("could not %s: %s", what, error)

    async def _listen(self) -> None:
        pause = _FIRST_PAUSE_S
        while self._queues:
            line = cast(ChannelSubscription, Redis.from_pool(self._pool).pubsub())
            try:
                await self._join(line)
                pause = _FIRST_PAUSE_S
                await self._carry(line)
            except Exception as error:
                log.warning("messages of the shared store are interrupted: %s", error)
            finally:
                self._line = None
                await line.aclose()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
        self._listening = None

    async def _join(self, line: ChannelSubscription) -> None:
        joined: set[bytes] = set()
        # Channels may be added while the store answers.
        while missing := set(self._queues) - joined:
            async with asyncio.timeout(self._timeout_s):
                await line.subscribe(*missing)
            joined |= missing
        self._line = line

    async def _carry(self, line: ChannelSubscription) -> None:
        asked = False
        while True:
            message = await line.get_message(timeout=_SILENCE_S)
            if message is not None:
                asked = False
                self._deliver(message)
            elif asked:
                raise TimeoutError("the store is silent")
            else:
                asked = True
                await line.ping()

    def _deliver(self, message: Mapping[str, Any]) -> None:
        if message["type"] != "message":
            return
        for queue in self._queues.get(message["channel"], ()):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(message["data"])
