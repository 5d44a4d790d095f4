"""A TCP proxy between a client and a local server that makes the network between them as bad as told."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import attrs

_CHUNK = 16_384

Mode: TypeAlias = Literal[
    "pass",  # carry bytes both ways
    "reset",  # cut with RST as soon as the client has said something
    "half_open",  # carry what the client says; nothing ever comes back
    "blackhole",  # carry nothing, keep the connection
]


@attrs.define
class Proxy:
    """The network, changeable while it runs; a change holds for bytes that are still to come.

    ``latency_s`` delays every piece, ``bytes_per_s`` bounds the reply's rate, ``reply_bytes`` resets the
    connection after that many bytes of reply, ``slow_close_s`` delays passing on the reply's end.
    ``accepted`` counts connections, ``open`` those under way.
    """

    host: str
    port: int
    mode: Mode = "pass"
    latency_s: float = 0.0
    bytes_per_s: float | None = None
    reply_bytes: int | None = None
    slow_close_s: float = 0.0
    accepted: int = 0
    open: int = 0
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to its end."""
        self.accepted += 1
        self.open += 1
        try:
            there, back = await asyncio.open_connection(self.host, self.port)
        except OSError:
            self.open -= 1
            _reset(writer)
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._say(reader, back, writer))
                both.create_task(self._reply(there, writer))
        except* (ConnectionError, _Cut):
            _reset(writer)
        finally:
            self.open -= 1
            for each in (writer, back):
                each.close()

    async def _say(
        self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(_CHUNK):
            if self.mode == "reset":
                _reset(client)
                raise _Cut
            if self.mode == "blackhole":
                continue
            await asyncio.sleep(self.latency_s)
            back.write(data)
            await back.drain()
        # The client has left: its server must hear of it.
        raise _Cut

    async def _reply(self, there: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        carried = 0
        while data := await there.read(_CHUNK):
            if self.mode in ("half_open", "blackhole"):
                continue
            await asyncio.sleep(self.latency_s)
            if self.bytes_per_s is not None:
                await asyncio.sleep(len(data) / self.bytes_per_s)
            if self.reply_bytes is not None and carried + len(data) > self.reply_bytes:
                client.write(data[: self.reply_bytes - carried])
                await client.drain()
                raise _Cut
            carried += len(data)
            client.write(data)
            await client.drain()
        await asyncio.sleep(self.slow_close_s)
        client.write_eof()


class _Cut(Exception):
    """The connection ends here."""


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN, so that the peer sees a broken connection and not an end."""
    sock = writer.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def between(url: str) -> AsyncIterator[Proxy]:
    """A proxy in front of the server at ``url``; ``Proxy.url`` is what a client is given instead."""
    parts = urlsplit(url)
    proxy = Proxy(host=parts.hostname or "127.0.0.1", port=parts.port or 80)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        with suppress(asyncio.CancelledError):  # the block below was left, and asyncio would log it
            await proxy.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    proxy.url = urlunsplit(parts._replace(netloc=f"127.0.0.1:{port}"))
    try:
        yield proxy
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
