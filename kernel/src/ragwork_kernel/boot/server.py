"""``ragwork serve``: listen, work, and leave without dropping anything."""

import asyncio
import gc
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web
from ragwork_hooks.errors import Problem

from ragwork_kernel.base.malloc import return_large_blocks
from ragwork_kernel.boot.boot import Platform, background
from ragwork_kernel.boot.leaving import Leaving
from ragwork_kernel.boot.listening_socket import cannot_listen
from ragwork_kernel.request.connections import Connections, HttpConnection
from ragwork_kernel.request.web_app import application

log = logging.getLogger(__name__)
_GOODBYE_S = 2.0
#: What a client whose connection waits for its next request has to send it, when another process has the address.
_LAST_REQUEST_S = 2.0
#: New connections taken in one turn of the loop: few, so that what came with them is read before more come.
_ACCEPTED = 64
#: New connections that wait in the system.
_QUEUED = 512


@asynccontextmanager
async def listening(
    platform: Platform, host: str, port: int, shared: socket.socket | None = None
) -> AsyncIterator[int]:
    """Serve on ``host``:``port`` (0 picks one) until the block is left, then drain; the bound port. ``shared`` is a
    bound socket instead, whose address other processes go on to serve.
    """
    kernel = platform.assembly.kernel
    app = application(platform.pipeline, platform.routes, kernel)
    async with AsyncExitStack() as stack:
        if kernel.works_in_serve and platform.urls.dispatcher is not None:
            await stack.enter_async_context(platform.working())
        await stack.enter_async_context(background(platform))
        connections = Connections(kernel, platform.pipeline, platform.telemetry)
        listener = await stack.enter_async_context(accepting(app, connections, host, port, shared))
        yield int(listener.sockets[0].getsockname()[1])
        connections.leaving = True
        await _drain(platform, listener)
        if shared is not None:
            await connections.gone(_LAST_REQUEST_S)
            await _drain(platform, listener)


@asynccontextmanager
async def accepting(
    app: web.Application, connections: Connections, host: str, port: int, shared: socket.socket | None = None
) -> AsyncIterator[asyncio.Server]:
    """Accept connections for ``app``; those that are left at the end are closed."""
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=_GOODBYE_S)
    await runner.setup()
    try:
        manager = runner.server
        if manager is None:
            raise RuntimeError("a runner that is set up has a server")
        manager.request_handler = connections.answering(manager.request_handler)
        listener = await _listen(lambda: HttpConnection(manager, connections), host, port, shared)
        try:
            yield listener
        finally:
            listener.close()
    finally:
        await runner.cleanup()


async def serve(
    platform: Platform,
    host: str,
    port: int,
    ready: Callable[[int], None],
    leaving: Leaving,
    shared: socket.socket | None = None,
) -> None:
    """Serve until told to leave. ``ready`` is called once with the bound port; see ``listening``."""
    leaving.serving = True
    return_large_blocks()
    async with listening(platform, host, port, shared) as bound:
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


async def _listen(
    factory: Callable[[], HttpConnection], host: str, port: int, shared: socket.socket | None
) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    try:
        if shared is None:
            listener = await loop.create_server(factory, host, port, backlog=_ACCEPTED)
        else:
            listener = await loop.create_server(factory, sock=shared, backlog=_ACCEPTED)
        for bound in listener.sockets:
            with socket.socket(fileno=os.dup(bound.fileno())) as same:
                same.listen(_QUEUED)
        return listener
    except OSError as error:
        raise cannot_listen(error, host, port) from error
