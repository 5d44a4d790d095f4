"""Processes that do one thing at a time for their tenants, and nothing of this process is in them.

Users: parsing, rego.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from ragwork_hooks.shares import Shares


class PooledProcess(Protocol):
    """A process of a pool. Used by one caller at a time."""

    @property
    def is_alive(self) -> bool: ...

    async def end(self) -> None:
        """Kill it, if it still runs."""


P = TypeVar("P", bound=PooledProcess)


class ProcessPool(Generic[P]):
    """A process for each of ``places``, started when it is first needed."""

    def __init__(self, places: Shares, start: Callable[[], Awaitable[P]]) -> None:
        self._places = places
        self._start = start
        self._idle: list[P] = []

    @property
    def is_crowded(self) -> bool:
        """Whether somebody waits for a process."""
        return self._places.waiting > 0

    @asynccontextmanager
    async def one(self, tenant: str | None = None) -> AsyncIterator[P]:
        """A living process for the length of the block, in a place of ``tenant``'s share.

        One that was left in the middle is ended.
        """
        with await self._places.take(tenant=tenant):
            process = self._idle.pop() if self._idle else None
            is_whole = False
            try:
                if process is None or not process.is_alive:
                    process = await self._start()
                yield process
                is_whole = True
            finally:
                if process is not None and is_whole:
                    self._idle.append(process)
                elif process is not None:
                    await process.end()

    async def close(self) -> None:
        """End every process. Nobody may use one any more."""
        while self._idle:
            await self._idle.pop().end()


async def start_isolated(script: Path, *arguments: str) -> asyncio.subprocess.Process:
    """Run ``script`` with pipes for input and output. It has no environment, which holds secrets; no file
    descriptor; and of Python's path only the installation's own part.
    """
    return await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(script), *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL, env={},
    )  # fmt: skip


async def kill(process: asyncio.subprocess.Process) -> None:
    """End ``process``, if it still runs."""
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
