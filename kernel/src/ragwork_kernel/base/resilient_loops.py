"""Loops that outlive the failures they meet: repeat a step, and a bell rung by NOTIFY."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from ragwork_kernel.base.error_answers import DATABASE_TROUBLE

FIRST_DELAY_S, LAST_DELAY_S = 0.1, 2.0
PING_S = 5.0

log = logging.getLogger(__name__)


def cancelled() -> bool:
    """Whether the present task was told to end. A loop asks before it goes on: what it awaited may have finished in
    the very moment of the cancellation, and ``asyncio.wait_for`` then gives the result and loses the other.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def forever(name: str, step: Callable[[], Awaitable[None]]) -> None:
    """Repeat ``step`` until cancelled; after a failure with growing pauses, and say so in the log."""
    delay = FIRST_DELAY_S
    while not cancelled():
        try:
            await step()
        except DATABASE_TROUBLE as error:
            log.warning("%s: the database does not answer (%s); next try in %.1f s", name, error, delay)
        except Exception:
            log.exception("%s failed; next try in %.1f s", name, delay)
        else:
            delay = FIRST_DELAY_S
            continue
        await asyncio.sleep(delay)
        delay = min(delay * 2, LAST_DELAY_S)


async def stop(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel ``tasks`` and wait until they are done, whatever they end with."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class NotifyListener:
    """Sets ``rung`` when somebody notifies ``channel``, and after a gap in which that may be missed."""

    def __init__(self, dsn: str, channel: str) -> None:
        self._dsn = dsn
        self._channel = channel
        self.rung = asyncio.Event()

    async def listen(self) -> None:
        """Until the connection is lost. Raises what asyncpg raises when there is none to be had."""
        connection = await asyncpg.connect(self._dsn, timeout=5)
        try:
            await connection.add_listener(self._channel, self._ring)
            self.rung.set()
            while not connection.is_closed():
                await asyncio.sleep(PING_S)
                await connection.execute("SELECT 1", timeout=PING_S)
        finally:
            connection.terminate()

    async def wait(self, timeout_s: float) -> None:
        """Until it rings, at most ``timeout_s`` seconds; what rang before counts."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.rung.wait()
        except TimeoutError:
            return
        self.rung.clear()

    def _ring(self, *_: object) -> None:
        self.rung.set()


async def open_pool(dsn: str, name: str, size: int) -> "asyncpg.Pool[Any]":
    """A pool that reconnects by itself; ``name`` shows in ``pg_stat_activity``."""
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size,
        timeout=5,
        command_timeout=10,
        reset=_keep,
        server_settings={"application_name": name},
    )


async def close_pool(pool: "asyncpg.Pool[Any]") -> None:
    """In order if the server answers, else at once."""
    try:
        await asyncio.wait_for(pool.close(), 2)
    except (*DATABASE_TROUBLE, asyncpg.PostgresError):
        pool.terminate()


async def _keep(_connection: object) -> None:
    """No reset between uses: the statements are single and set nothing, and a reset is a round trip."""
