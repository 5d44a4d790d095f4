"""``ragwork serve``: listen, work, and leave without dropping anything."""

import asyncio
import errno
import gc
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web
from ragwork_hooks.errors import ConfigError, Problem

from ragwork_kernel.base.malloc import return_large_blocks
from ragwork_kernel.boot.boot import Platform, background
from ragwork_kernel.boot.leaving import Leaving
from ragwork_kernel.request.connections import Connections, HttpConnection
from ragwork_kernel.request.web_app import application

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
#: New connections taken in one turn of the loop: few, so that what came with them is read before more come.
_ACCEPTED = 64
#: New connections that wait in the system.
_QUEUED = 512


@asynccontextmanager
async def listening(platform: Platform, host: str, port: int) -> AsyncIterator[int]:
    """Serve on ``host``:``port`` (0 picks one) until the block is left, then drain; the bound port."""
    kernel = platform.assembly.kernel
    app = application(platform.pipeline, platform.routes, kernel)
    async with AsyncExitStack() as stack:
        if kernel.works_in_serve and platform.urls.dispatcher is not None:
            await stack.enter_async_context(platform.working())
        await stack.enter_async_context(background(platform))
        connections = Connections(kernel, platform.pipeline, platform.telemetry)
        listener = await stack.enter_async_context(accepting(app, connections, host, port))
        yield int(listener.sockets[0].getsockname()[1])
        await _drain(platform, listener)


@asynccontextmanager
async def accepting(
    app: web.Application, connections: Connections, host: str, port: int
) -> AsyncIterator[asyncio.Server]:
    """Accept connections for ``app``; those that are left at the end are closed."""
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=_GOODBYE_S)
    await runner.setup()
    try:
        manager = runner.server
        if manager is None:
            raise RuntimeError("a runner that is set up has a server")
        manager.request_handler = connections.answering(manager.request_handler)
        listener = await _listen(lambda: HttpConnection(manager, connections), host, port)
        try:
            yield listener
        finally:
            listener.close()
    finally:
        await runner.cleanup()


async def serve(
    platform: Platform, host: str, port: int, ready: Callable[[int], None], leaving: Leaving
) -> None:
    """Serve until told to leave. ``ready`` is called once with the bound port."""
    leaving.serving = True
    return_large_blocks()
    async with listening(platform, host, port) as bound:
        # What the boot made lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        ready(bound)
        await leaving.told.wait()
        log.info("stopping: draining requests and streams")


async def _drain(platform: Platform, listener: asyncio.Server) -> None:
    """No new connections; wait for what runs, within the bound; then end streams with a reason."""
    platform.health.draining = True
    listener.close()
    if not await platform.pipeline.idle(platform.assembly.kernel.drain_timeout_s):
        platform.streams.end_all(
            Problem("SERVICE_UNAVAILABLE", "the server is shutting down; send the request again")
        )
        await platform.pipeline.idle(_GOODBYE_S)
    await platform.pipeline.settled()


async def _listen(factory: Callable[[], HttpConnection], host: str, port: int) -> asyncio.Server:
    try:
        listener = await asyncio.get_running_loop().create_server(factory, host, port, backlog=_ACCEPTED)
        for bound in listener.sockets:
            with socket.socket(fileno=os.dup(bound.fileno())) as same:
                same.listen(_QUEUED)
        return listener
    except OSError as error:
        option, fix = _BIND_FIXES.get(error.errno or 0, _BAD_HOST)
        where = f"--{option} {port if option == 'port' else host}"
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise ConfigError(where, f"can't listen on {host}:{port}: {why}", fix) from error
