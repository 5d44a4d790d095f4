"""``ragwork serve``: listen, work, and leave without dropping anything."""

import asyncio
import errno
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web
from ragwork_hooks.errors import ConfigError, Problem

from ragwork_kernel.boot import Platform, background
from ragwork_kernel.http import application

log = logging.getLogger(__name__)
_GOODBYE_S = 2.0
_BAD_HOST = (
    "host",
    "name an address of this machine: 127.0.0.1, 0.0.0.0 for all, or one that `ip address` shows",
)
_BIND_FIXES = {
    errno.EADDRINUSE: ("port", "stop what uses the port or choose another with --port"),
    errno.EACCES: (
        "port",
        "choose a port above 1023 with --port, or run behind a proxy that has the low one",
    ),
}


@asynccontextmanager
async def listening(platform: Platform, host: str, port: int) -> AsyncIterator[int]:
    """Serve on ``host``:``port`` (0 picks one) until the block is left, then drain; the bound port."""
    app = application(platform.pipeline, platform.routes, platform.assembly.kernel)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_GOODBYE_S)
    async with AsyncExitStack() as stack:
        if platform.assembly.kernel.works_in_serve and platform.urls.dispatcher is not None:
            await stack.enter_async_context(platform.working())
        await stack.enter_async_context(background(platform))
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, host, port, backlog=512)
        await _bind(site, host, port)
        yield _port(runner)
        await _drain(platform, site)


async def serve(platform: Platform, host: str, port: int, ready: Callable[[int], None]) -> None:
    """Serve until SIGTERM or SIGINT. ``ready`` is called once with the bound port."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    async with listening(platform, host, port) as bound:
        # What the boot made lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        ready(bound)
        await stop.wait()
        log.info("stopping: draining requests and streams")


async def _drain(platform: Platform, site: web.TCPSite) -> None:
    """No new connections; wait for what runs, within the bound; then end streams with a reason."""
    platform.health.draining = True
    await site.stop()
    if not await platform.pipeline.idle(platform.assembly.kernel.drain_timeout_s):
        platform.streams.end_all(
            Problem("SERVICE_UNAVAILABLE", "the server is shutting down; send the request again")
        )
        await platform.pipeline.idle(_GOODBYE_S)
    await platform.pipeline.settled()


async def _bind(site: web.TCPSite, host: str, port: int) -> None:
    try:
        await site.start()
    except OSError as error:
        option, fix = _BIND_FIXES.get(error.errno or 0, _BAD_HOST)
        where = f"--{option} {port if option == 'port' else host}"
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise ConfigError(where, f"can't listen on {host}:{port}: {why}", fix) from error


def _port(runner: web.AppRunner) -> int:
    address = runner.addresses[0]
    return int(address[1])
