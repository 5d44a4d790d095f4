"""A closed-loop client: c connections, n requests after a warm-up, every answer checked.

It reads bytes off the socket and looks for what must be there: a client that parses costs more than the server does,
and would be what is measured.
"""

import asyncio
import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import cast
from urllib.parse import urlsplit

import attrs
import uvloop

#: Stands in a body for a number that no other request has.
UNIQUE = b"%UNIQUE%"


@attrs.frozen(kw_only=True)
class Shot:
    """A request, what its answer must hold, and what in it is the first token."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = "application/json"
    holds: bytes
    token: bytes | None = None


@attrs.frozen(kw_only=True)
class Sample:
    """Throughput per second; latencies and first-token times in milliseconds."""

    rps: float
    p50: float
    p95: float
    first_token_p50: float | None = None


CORPORA = Shot(method="GET", path="/v1/corpora", holds=b'"c1"')
RUN = Shot(
    method="POST",
    path="/v1/run",
    body=b'{"session_id":"%UNIQUE%","corpus_id":"c1","message":"Which gates must a release of Agent 2.0 pass?"}',
    holds=b'"type":"done"',
    token=b'"token.delta"',
)


async def measure(base: str, key: str, shot: Shot, clients: int, count: int) -> Sample:
    """``count`` shots over ``clients`` connections after a tenth as warm-up."""
    address = urlsplit(base)
    loop = asyncio.get_running_loop()
    connections = []
    for _ in range(clients):
        _, connection = await loop.create_connection(
            lambda: _Connection(shot, address.netloc, key), address.hostname, address.port
        )
        connections.append(connection)
    await _shoot(connections, max(clients, count // 10))
    started = time.perf_counter()
    taken = await _shoot(connections, count)
    seconds = time.perf_counter() - started
    for connection in connections:
        connection.close()
    whole, firsts = sorted(each[0] for each in taken), [each[1] for each in taken if each[1] is not None]
    return Sample(
        rps=count / seconds,
        p50=statistics.median(whole) * 1000,
        p95=whole[int(len(whole) * 0.95)] * 1000,
        first_token_p50=statistics.median(firsts) * 1000 if firsts else None,
    )


def measured(base: str, key: str, shot: Shot, clients: int, count: int) -> Sample:
    """``measure`` in a loop of its own."""
    return uvloop.run(measure(base, key, shot, clients, count))


async def _shoot(connections: Sequence["_Connection"], count: int) -> list[tuple[float, float | None]]:
    numbers = iter(range(count))

    async def worker(connection: "_Connection") -> list[tuple[float, float | None]]:
        return [await connection.shoot() for _ in numbers]

    return list(itertools.chain(*await asyncio.gather(*map(worker, connections))))


class _Connection(asyncio.Protocol):
    """One request after the other on one socket."""

    numbers: Iterator[int] = itertools.count(time.time_ns())

    def __init__(self, shot: Shot, host: str, key: str) -> None:
        self._shot = shot
        length = len(shot.body.replace(UNIQUE, b"%d" % time.time_ns()))
        lines = [
            f"{shot.method} {shot.path} HTTP/1.1",
            f"Host: {host}",
            f"Authorization: Bearer {key}",
            *((f"Content-Type: {shot.content_type}", f"Content-Length: {length}") if shot.body else ()),
        ]
        self._request = "\r\n".join(lines).encode() + b"\r\n\r\n" + shot.body
        self._answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass

    def close(self) -> None:
        self._transport.close()

    async def shoot(self) -> tuple[float, float | None]:
        """Seconds to the end of the answer and to its first token."""
        self._answer, self._first = bytearray(), None
        self._answered = asyncio.get_running_loop().create_future()
        started = time.perf_counter()
        self._transport.write(self._request.replace(UNIQUE, b"%d" % next(self.numbers)))
        await self._answered
        ended = time.perf_counter()
        assert self._shot.holds in self._answer, self._answer[:2_000]
        return ended - started, self._first and self._first - started

    _first: float | None

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if self._first is None and self._shot.token is not None and self._shot.token in self._answer:
            self._first = time.perf_counter()
        if self._answered is not None and not self._answered.done() and self._is_whole():
            self._answered.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(exc or ConnectionError("the server closed the connection"))

    def _is_whole(self) -> bool:
        end = self._answer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self._answer[:end].lower()
        if b"transfer-encoding: chunked" in head:
            return self._answer.endswith(b"\r\n0\r\n\r\n")
        length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return len(self._answer) >= end + 4 + int(length or 0)
