"""What the local servers of tests have in common: where they listen, and how an answer of theirs goes wrong."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def served(app: web.Application, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """``app`` on a free port of the loopback interface; gives its address, without a path. A handler whose client
    left is cancelled.
    """
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        port = runner.addresses[0][1]
        yield f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


def hang_up(request: web.Request) -> None:
    """Cut the connection."""
    if request.transport is not None:
        request.transport.abort()


async def broke_off(request: web.Request, how: str) -> bool:
    """Carry out ``stall`` (nothing more, ever) or ``drop`` (cut the connection); whether ``how`` is one of them."""
    match how:
        case "stall":
            await asyncio.Event().wait()
        case "drop":
            hang_up(request)
        case _:
            return False
    return True


async def broke_stream(
    request: web.Request, response: web.StreamResponse, how: str, written: Mapping[str, bytes]
) -> bool:
    """Carry out a fault in the middle of a stream: as ``broke_off``, or ``written`` has what is sent for it, or
    ``truncate`` ends it properly. Whether the stream ends with it.
    """
    if await broke_off(request, how):
        return True
    if how in written:
        await response.write(written[how])
    return how in written or how == "truncate"


async def spoiled(request: web.Request, data: bytes, how: str | None) -> bytes:
    """The body ``data`` as it goes out when it goes wrong: ``stall`` never, ``drop`` on a cut connection, ``truncate``
    half of it, ``garbage`` something else. Any other ``how`` changes nothing.
    """
    if how is not None and await broke_off(request, how):
        return data
    match how:
        case "truncate":
            return data[: len(data) // 2]
        case "garbage":
            return b"<html>not what you asked for</html>"
    return data


class StatusError(web.HTTPException):
    """A JSON error with a status that is only known when it is raised."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str]) -> None:
        self.status_code = status
        super().__init__(text=text, headers=headers, content_type="application/json")
