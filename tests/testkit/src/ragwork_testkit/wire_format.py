"""A TCP proxy before Postgres that counts round trips: client messages that the server answers on their own.

A simple query (``Q``) and a ``Sync`` (``S``) each end with the server's ReadyForQuery, so their number is
the number of times a client waits for the network. Only connections of one application are counted, so
that listeners and workers beside it don't blur the figure.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import attrs

_LENGTH_BYTES = 4
_AWAITS_REPLY = frozenset((b"Q", b"S", b"F"))


@attrs.define
class RoundTrips:
    """What passed since the last ``reset``; ``dsn`` leads through the proxy."""

    dsn: str
    count: int = 0

    def reset(self) -> None:
        self.count = 0


@contextlib.asynccontextmanager
async def counted(dsn: str, application: str = "ragwork") -> AsyncIterator[RoundTrips]:
    """A proxy to the server of ``dsn`` (TCP, no TLS) for as long as the block lasts; it counts what
    connections named ``application`` send.
    """
    parts = urlsplit(dsn)
    host, port = parts.hostname or "127.0.0.1", parts.port or 5432
    trips = RoundTrips(dsn)
    pumps: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(host, port)
        for pump in (
            _requests(reader, upstream_writer, trips, application),
            _replies(upstream_reader, writer),
        ):
            task = asyncio.create_task(pump)
            pumps.add(task)
            task.add_done_callback(pumps.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    mine = server.sockets[0].getsockname()[1]
    credentials = parts.netloc.rpartition("@")[0]
    trips.dsn = urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{mine}", query="sslmode=disable"))
    try:
        yield trips
    finally:
        server.close()
        for task in tuple(pumps):
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _requests(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, trips: RoundTrips, application: str
) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, OSError), contextlib.closing(writer):
        # The start-up message alone has no type byte.
        parameters = (await _forward(reader, writer, b"")).split(b"\0")
        counts = application.encode() in parameters
        while True:
            kind = await reader.readexactly(1)
            trips.count += counts and kind in _AWAITS_REPLY
            await _forward(reader, writer, kind)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: bytes) -> bytes:
    length = await reader.readexactly(_LENGTH_BYTES)
    body = await reader.readexactly(int.from_bytes(length) - _LENGTH_BYTES)
    writer.write(kind + length + body)
    await writer.drain()
    return body


async def _replies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError), contextlib.closing(writer):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
