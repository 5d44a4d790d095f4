"""One LISTEN connection per process: what another process committed reaches this one within a second.

A message is sent inside the transaction that causes it and arrives at its commit. While the channel
can't prove that it lives, ``fresh`` is False and every cache reads through.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

import asyncpg
import orjson
from ragwork_hooks.storage import Transaction

from ragwork_kernel.base.resilient_loops import cancelled

CHANNEL = "ragwork"
BEAT_S = 0.3
REVOCATION_WINDOW_S = 1.0

log = logging.getLogger(__name__)
Handler = Callable[[dict[str, str]], None]


class NotificationChannel:
    """Publish in a transaction, handle in every process."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._origin = uuid.uuid4().hex
        self._handlers: dict[str, Handler] = {}
        self._reset: list[Callable[[], None]] = []
        self._alive_at = float("-inf")
        self._task: asyncio.Task[None] | None = None

    @property
    def fresh(self) -> bool:
        return time.monotonic() - self._alive_at < REVOCATION_WINDOW_S

    def on(self, topic: str, handler: Handler) -> None:
        """Call ``handler`` for each message of ``topic``; it must not block."""
        self._handlers[topic] = handler

    def on_gap(self, reset: Callable[[], None]) -> None:
        """Call ``reset`` when messages may have been missed."""
        self._reset.append(reset)

    async def publish(self, tx: Transaction, topic: str, message: dict[str, str]) -> None:
        """Send with the commit of ``tx``; handled in this process before the commit returns to its caller."""
        tx.on_commit(lambda: self._handle(topic, message))
        payload = orjson.dumps({"topic": topic, "origin": self._origin, **message}).decode()
        await tx.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)

    async def start(self) -> None:
        ready = asyncio.Event()
        self._task = asyncio.create_task(self._listen(ready), name="bus")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ready.wait(), 5)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self, ready: asyncio.Event) -> None:
        delay = 0.1
        while not cancelled():
            try:
                connection = await asyncpg.connect(self._dsn, timeout=5)
            except (OSError, TimeoutError, asyncpg.PostgresError) as error:
                log.warning("notification channel is away: %s", error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 2.0)
                continue
            delay = 0.1
            try:
                await connection.add_listener(CHANNEL, self._received)
                for reset in self._reset:
                    reset()
                await self._beat(connection, ready)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("notification channel broke: %s", error)
            finally:
                connection.terminate()

    async def _beat(self, connection: "asyncpg.Connection[Any]", ready: asyncio.Event) -> None:
        while not cancelled():
            sent = time.monotonic()
            try:
                await connection.execute("SELECT 1", timeout=REVOCATION_WINDOW_S)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return
            self._alive_at = sent
            ready.set()
            await asyncio.sleep(BEAT_S)

    def _received(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        message: dict[str, str] = orjson.loads(str(payload))
        if message.pop("origin") != self._origin:  # our own were handled at their commit
            self._handle(message.pop("topic"), message)

    def _handle(self, topic: str, message: dict[str, str]) -> None:
        handler = self._handlers.get(topic)
        if handler is not None:
            handler(message)
