"""The way to the store: bounded in time, and closed while the store is away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias, cast

from ragwork_hooks.errors import ProviderError
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import NoScriptError

from ragwork_redis.scripts import Script

log = logging.getLogger(__name__)
Word: TypeAlias = bytes | str | int
_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 0.5
_PROBE_LIVES_MS: Final = 1000


class Client(Protocol):
    """What is used of redis-py's client, which has no types of its own for it."""

    async def execute_command(self, *words: Word) -> Any: ...


class GuardedClient:
    """Sends commands, each bounded by ``timeout_s`` from end to end.

    Only the client runs in here, so whatever it stumbles over counts as the store's failure: a lost line, a
    refusal, an answer that makes no sense. After one, every further command fails at once, until a probe in
    the background has written to the store: callers don't pay for finding out whether it is back. A store
    that answers but can't be written (a replica, one without memory, one that still loads) is away, too.
    """

    def __init__(self, pool: ConnectionPool, timeout_s: float, probe_key: bytes) -> None:
        self._pool = pool
        self._client = cast(Client, Redis.from_pool(pool))
        self._timeout_s = timeout_s
        self._probe_key = probe_key
        self._recovering: asyncio.Task[None] | None = None

    async def send(self, *words: Word) -> Any:
        """The reply to one command. Raises ``ProviderError`` STATE_UNAVAILABLE."""
        return await self._guarded(lambda: self._client.execute_command(*words))

    async def run(self, script: Script, keys: Sequence[bytes], *arguments: Word) -> Any:
        """The reply to a script, which is sent along when the store has forgotten it."""

        async def run() -> Any:
            try:
                return await self._client.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
            except NoScriptError:
                return await self._client.execute_command("EVAL", script.text, len(keys), *keys, *arguments)

        return await self._guarded(run)

    async def probe(self) -> None:
        """Write to the store, whatever is thought of it. Raises ``ProviderError`` STATE_UNAVAILABLE."""
        try:
            await self._bounded(self._write)
        except Exception as error:
            raise _unavailable(error) from error

    async def close(self) -> None:
        """Stop probing."""
        if self._recovering is not None:
            self._recovering.cancel()
            await asyncio.gather(self._recovering, return_exceptions=True)

    async def _guarded(self, work: Callable[[], Awaitable[Any]]) -> Any:
        if self._recovering is not None:
            raise _unavailable(None)
        try:
            return await self._bounded(work)
        except Exception as error:
            self._lost(error)
            raise _unavailable(error) from error

    async def _bounded(self, work: Callable[[], Awaitable[Any]]) -> Any:
        async with asyncio.timeout(self._timeout_s):
            return await work()

    def _lost(self, error: Exception) -> None:
        if self._recovering is not None:
            return
        log.warning("the shared store is away: %s", _named(error))
        self._recovering = asyncio.create_task(self._recover(), name="redis recover")

    async def _recover(self) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                # Old connections may lead to what was the primary: a new one asks for its address again.
                await self._pool.disconnect(inuse_connections=False)
                await self._bounded(self._write)
                break
            except Exception as error:
                log.debug("the shared store is still away: %s", _named(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
        log.warning("the shared store is back")
        self._recovering = None

    async def _write(self) -> None:
        await self._client.execute_command("SET", self._probe_key, b"", "PX", _PROBE_LIVES_MS)


def _unavailable(error: Exception | None) -> ProviderError:
    why = "did not answer in time" if isinstance(error, TimeoutError) else "can't be reached"
    return ProviderError("STATE_UNAVAILABLE", f"the shared store {why}", retryable=True)


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else "no answer in time"
