"""Connections take a bounded time and are a bounded number; who waits longest without asking gives way."""

import asyncio
import contextlib
import http.client
import logging
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from ragwork_hooks.http import File
from ragwork_kernel.base.config import KernelConfig
from ragwork_kernel.data import migrations
from ragwork_kernel.request import connections
from ragwork_kernel.request.connections import most_connections
from ragwork_testkit.database import FreshDatabase, PostgresServer
from serving import Served, eventually, public, serving

PROVE = bool(os.environ.get("RAGWORK_PROVE"))
GET = b"GET /v1/things HTTP/1.1\r\nHost: h\r\n\r\n"
Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(postgres: PostgresServer) -> AsyncIterator[FreshDatabase]:
    async with postgres.database([migrations.KERNEL]) as fresh:
        yield fresh


async def small(_call: Any) -> object:
    return {"fine": True}


async def opened(served: Served, sent: bytes = b"", source: str = "127.0.0.1") -> Link:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, local_addr=(source, 0))
    writer.write(sent)
    return reader, writer


async def answered(link: Link) -> bool:
    """Whether one more request on this connection is answered."""
    reader, writer = link
    try:
        writer.write(GET)
        return b'"fine":true' in await asyncio.wait_for(reader.readuntil(b"}}"), 5)
    except (ConnectionError, asyncio.IncompleteReadError):
        return False


async def ended(link: Link, within_s: float = 5) -> bytes:
    """All that still comes, up to the end of the connection."""
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(link[0].read(), within_s)
    return b""


def counted(served: Served, reason: str) -> float:
    return sum(
        sample.value
        for sample in served.telemetry.read()
        if sample.name.endswith("connections_ended_total") and sample.labels["reason"] == reason
    )


async def test_a_head_that_trickles_is_refused_in_time(database: FreshDatabase) -> None:
    async with serving(database.app, public(small), head_timeout_s=0.4) as served:
        reader, writer = link = await opened(served, b"GET /v1/th")

        async def trickle() -> None:
            while not reader.at_eof():
                writer.write(b"i")
                await asyncio.sleep(0.05)

        trickling = asyncio.create_task(trickle())
        answer = await ended(link)
        trickling.cancel()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"REQUEST_TIMEOUT"' in answer
        assert b"Server: ragwork" in answer
        assert counted(served, "head too slow") == 1
        assert len(served.connections) == 0


async def test_a_whole_head_may_be_followed_by_slow_work_and_a_long_pause(database: FreshDatabase) -> None:
    async def slow(_call: Any) -> object:
        await asyncio.sleep(0.6)
        return {"fine": True}

    async with serving(database.app, public(slow), head_timeout_s=0.3, keepalive_timeout_s=5) as served:
        link = await opened(served)
        assert await answered(link)
        await asyncio.sleep(0.5)
        assert await answered(link)


async def test_an_idle_connection_is_closed_without_a_word(database: FreshDatabase) -> None:
    async with serving(database.app, public(small), keepalive_timeout_s=0.3) as served:
        silent, used = await opened(served), await opened(served)
        assert await answered(used)
        assert (await ended(silent), await ended(used)) == (b"", b"")


async def test_an_answer_that_nobody_takes_is_given_up(
    database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def large(_call: Any) -> object:
        return File(data=b"x" * 30_000_000, mime="text/plain")

    monkeypatch.setattr(connections, "STALLED_S", 0.3)
    async with serving(database.app, public(large)) as served:
        _, writer = await opened(served, GET)
        await eventually(lambda: counted(served, "answer not taken") == 1, 5)
        await eventually(lambda: len(served.connections) == 0, 5)
        writer.close()


async def test_who_never_asked_gives_way_first_then_who_asked_longest_ago(database: FreshDatabase) -> None:
    async with serving(
        database.app, public(small), max_connections=4, max_connections_per_address=4
    ) as served:
        first, second = await opened(served), await opened(served)
        assert await answered(first)
        assert await answered(second)
        strangers = [await opened(served, b"G") for _ in range(2)]
        newcomers = [await opened(served) for _ in range(2)]
        assert [await answered(link) for link in newcomers] == [True, True]
        assert [await ended(link) for link in strangers] == [b"", b""]
        assert [await answered(link) for link in (second, first)] == [True, True]
        another = await opened(served)
        assert await answered(another)
        assert await answered(newcomers[0]) is False
        assert [await answered(link) for link in (first, second, newcomers[1])] == [True] * 3
        assert counted(served, "evicted") == 3


async def test_busy_connections_stay_and_a_newcomer_is_told(database: FreshDatabase) -> None:
    working = asyncio.Event()

    async def long(_call: Any) -> object:
        await working.wait()
        return {"fine": True}

    async with serving(
        database.app, public(long), max_connections=3, max_connections_per_address=3
    ) as served:
        busy = [await opened(served, GET) for _ in range(3)]
        await asyncio.sleep(0.1)
        answer = await ended(await opened(served))
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1" in answer
        assert b'"SERVICE_BUSY"' in answer
        working.set()
        for reader, _ in busy:
            assert b'"fine":true' in await asyncio.wait_for(reader.readuntil(b"}}"), 5)
        assert counted(served, "refused") == 1


async def test_one_address_has_a_share_and_a_trusted_proxy_has_all(database: FreshDatabase) -> None:
    for trusted, kept in (((), 2), (("127.0.0.2/32",), 5)):
        async with serving(
            database.app,
            public(small),
            max_connections=8,
            max_connections_per_address=2,
            trusted_proxies=trusted,
        ) as served:
            other = await opened(served)
            many = [await opened(served, b"G", "127.0.0.2") for _ in range(5)]
            await eventually(lambda: len(served.connections) == kept + 1, 5)  # noqa: B023  # awaited in the loop
            assert await answered(other)
            for _, writer in many:
                writer.close()


async def test_many_that_are_ended_make_one_line(
    database: FreshDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with serving(database.app, public(small), max_connections=2) as served:
            links = [await opened(served, b"G") for _ in range(40)]
            await eventually(lambda: counted(served, "evicted") >= 38, 5)
    assert len([r for r in caplog.records if "connections ended" in r.getMessage()]) == 1
    for _, writer in links:
        writer.close()


@pytest.mark.parametrize(
    ("descriptors", "wanted", "most"),
    [
        (1024, None, 768),
        (256, None, 128),
        (1_000_000, None, 10_000),
        (1024, 5000, 768),
        (1024, 50, 50),
        (64, None, 1),
    ],
)
def test_connections_leave_descriptors_for_the_rest(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, wanted: int | None, most: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (descriptors, descriptors))
    assert most_connections(KernelConfig(max_connections=wanted)) == most


SERVER = """
import asyncio, resource, sys
from serving import public, serving
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))

async def small(_call):
    return {"fine": True}

async def main():
    async with serving(sys.argv[1], public(small)) as served:
        print(served.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


def fetched(port: int) -> int:
    """The status of one request on a connection of its own."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(link):
        link.request("GET", "/v1/things")
        return link.getresponse().status


@pytest.mark.skipif(not PROVE, reason="a thousand connections are opened with RAGWORK_PROVE=1")
async def test_a_thousand_that_trickle_shut_nobody_out(database: FreshDatabase) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    server = subprocess.Popen(  # noqa: ASYNC220  # started once, before anything runs
        [sys.executable, "-c", SERVER, database.app],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent,
    )  # fmt: skip
    assert server.stdout is not None
    port = int(await asyncio.to_thread(server.stdout.readline))

    async def trickle() -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                with contextlib.closing(writer):
                    while not reader.at_eof():
                        writer.write(b"G")
                        await asyncio.sleep(0.5)
            await asyncio.sleep(0.5)

    trickling = [asyncio.create_task(trickle()) for _ in range(1_000)]
    try:
        await asyncio.sleep(2)
        # In threads: this client must not be slow because the thousand keep its loop busy.
        assert [await asyncio.to_thread(fetched, port) for _ in range(300)] == [200] * 300
    finally:
        for task in trickling:
            task.cancel()
        await asyncio.gather(*trickling, return_exceptions=True)
        server.communicate("")
