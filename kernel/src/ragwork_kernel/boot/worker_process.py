"""``ragwork worker``: work the queue until told to stop."""

import asyncpg

from ragwork_kernel.base.malloc import return_large_blocks
from ragwork_kernel.boot.boot import Platform, background
from ragwork_kernel.boot.leaving import Leaving
from ragwork_kernel.work.worker import host

_SILENCE = """SELECT min(extract(epoch FROM now() - seen_at))::double precision
    FROM ragwork.workers WHERE host = $1"""


async def silence(dsn: str) -> float | None:
    """Seconds since a worker of this machine was last heard of, ``None`` when none is known. One statement, so
    that it can be asked every few seconds.
    """
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        found: float | None = await connection.fetchval(_SILENCE, host())
    finally:
        await connection.close()
    return found


async def run_worker(platform: Platform, leaving: Leaving) -> None:
    """Work until told to leave; running jobs are finished within the worker's own bound."""
    leaving.serving = True
    return_large_blocks()
    async with platform.working(), background(platform):
        await leaving.told.wait()
