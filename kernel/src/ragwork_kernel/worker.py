"""``ragwork worker``: work the queue until told to stop."""

import asyncio
import signal

from ragwork_kernel.boot import Platform, background


async def run_worker(platform: Platform) -> None:
    """Work until SIGTERM or SIGINT; running jobs are finished within the worker's own bound."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    async with platform.working(), background(platform):
        await stop.wait()
