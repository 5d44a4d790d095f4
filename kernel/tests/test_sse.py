"""Event streams: their grammar, their one end, and who may end them early."""

import asyncio
import contextlib
import itertools
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ragwork_hooks.errors import Problem, ProviderError
from ragwork_hooks.http import StreamEvent
from ragwork_kernel.data import migrations
from ragwork_kernel.request import sse
from ragwork_testkit.database import FreshDatabase, PostgresServer
from serving import Sent, Served, eventually, interpret, public, route, serving, streamed

HEADERS = {"Authorization": "Bearer t1.ann.reader"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(postgres: PostgresServer) -> AsyncIterator[FreshDatabase]:
    """One database for this module: its tests keep nothing in it."""
    async with postgres.database([migrations.KERNEL]) as fresh:
        yield fresh


def streams(
    make: Callable[[], AsyncIterator[StreamEvent]], **said: Any
) -> Callable[[Any], Awaitable[object]]:
    async def handler(_call: Any) -> object:
        return streamed(make(), **said)

    return handler


async def whole(served: Served, headers: dict[str, str] | None = None) -> list[Sent]:
    """Every event of one stream, its grammar checked."""
    async with served.session.get(
        served.base + "/v1/things", headers={**HEADERS, **(headers or {})}
    ) as response:
        assert response.status == 200
        raw = await response.read()
    events = list(interpret(raw))
    assert_well_formed(raw, events)
    return events


def assert_well_formed(raw: bytes, events: Sequence[Sent]) -> None:
    """Numbered from 1 without a gap, id and seq equal, ended once, nothing but whole events."""
    assert raw.endswith(b"\n\n")
    assert raw.count(b"\n\n") == len(events)
    assert [e.id for e in events] == [str(n) for n in range(1, len(events) + 1)]
    assert [e.payload["seq"] for e in events] == list(range(1, len(events) + 1))
    assert [e.type for e in events].count("done") == 1
    assert events[-1].type == "done"


async def test_frames_are_numbered_enveloped_and_ended_with_done(database: FreshDatabase) -> None:
    async def frames() -> AsyncIterator[StreamEvent]:
        yield StreamEvent(type="first", data={"n": 1})
        yield StreamEvent(type="cost.warn", data={}, event="cost.warn")

    async with serving(database.app, route(streams(frames, fields={"session_id": "s"}))) as served:
        events = await whole(served, {"X-Request-Id": "req-7"})
    assert [(e.event, e.type) for e in events] == [
        ("message", "first"), ("cost.warn", "cost.warn"), ("message", "done"),
    ]  # fmt: skip
    assert events[0].payload == {
        "type": "first", "request_id": "req-7", "session_id": "s", "data": {"n": 1}, "seq": 1,
    }  # fmt: skip


async def test_a_stream_is_not_cached_or_buffered(database: FreshDatabase) -> None:
    async def frames() -> AsyncIterator[StreamEvent]:
        return
        yield

    async with serving(database.app, route(streams(frames))) as served:
        async with served.session.get(served.base + "/v1/things", headers=HEADERS) as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            assert response.headers["Cache-Control"] == "no-cache"
            assert response.headers["X-Accel-Buffering"] == "no"
            assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_nothing_but_our_frames_is_in_a_stream(
    database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response class would write pings of its own between them."""

    async def frames() -> AsyncIterator[StreamEvent]:
        await asyncio.sleep(0.1)
        yield StreamEvent(type="token.delta", data={"delta": "x"})

    made = sse.StreamResponse.__init__

    def impatient(self: sse.StreamResponse, status: int, headers: Any) -> None:
        made(self, status, headers)
        self._ping_interval = 0.01

    monkeypatch.setattr(sse.StreamResponse, "__init__", impatient)
    async with serving(database.app, route(streams(frames))) as served:
        async with served.session.get(served.base + "/v1/things", headers=HEADERS) as response:
            raw = await response.read()
    assert [line.partition(b":")[0] for line in raw.splitlines() if line] == [b"event", b"id", b"data"] * 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Problem("SESSION_BUSY", "busy"), "SESSION_BUSY"),
        (ProviderError("AWS_RETRIEVAL_ERROR", "down"), "AWS_RETRIEVAL_ERROR"),
        (TimeoutError(), "INTEGRATION_UNAVAILABLE"),
        (asyncpg.PostgresError("sql text"), "DB_ERROR"),
        (RuntimeError("secret cause"), "UNKNOWN_ERROR"),
        (asyncio.CancelledError(), "UNKNOWN_ERROR"),
    ],
)
async def test_a_failure_becomes_one_error_event_before_done(
    database: FreshDatabase, error: BaseException, code: str
) -> None:
    async def frames() -> AsyncIterator[StreamEvent]:
        yield StreamEvent(type="first", data={})
        raise error

    async with serving(database.app, route(streams(frames))) as served:
        events = await whole(served)
    assert [e.type for e in events] == ["first", "error", "done"]
    assert events[1].payload["data"]["code"] == code
    assert "secret" not in events[1].data
    assert "sql text" not in events[1].data


nasty = st.text(
    alphabet=st.sampled_from('a\r\n\0\u2028\u2029\x85:\ufeff\ud800"\\') | st.characters(), max_size=20
)
data = st.dictionaries(nasty, nasty | st.lists(nasty, max_size=2), max_size=3)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payloads=st.lists(data, min_size=1, max_size=4))
def test_no_payload_can_add_an_event_or_leave_a_gap(
    database: FreshDatabase, payloads: list[dict[str, Any]]
) -> None:
    def encodable(payload: dict[str, Any]) -> bool:
        return not any("\ud800" <= c <= "\udfff" for text in _texts(payload) for c in text)

    async def frames() -> AsyncIterator[StreamEvent]:
        for payload in payloads:
            yield StreamEvent(type="x", data=payload)

    async def run() -> list[Sent]:
        async with serving(database.app, route(streams(frames))) as served:
            return await whole(served)

    events = asyncio.run(run())
    good = list(itertools.takewhile(encodable, payloads))
    assert [e.payload["data"] for e in events if e.type == "x"] == good
    wanted = ["x"] * len(good) + (["error"] if len(good) < len(payloads) else []) + ["done"]
    assert [e.type for e in events] == wanted


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
    return [text for item in inner for text in _texts(item)]


async def test_an_idle_stream_beats_and_a_busy_one_does_not(database: FreshDatabase) -> None:
    async def idle() -> AsyncIterator[StreamEvent]:
        yield StreamEvent(type="first", data={})
        await asyncio.sleep(0.55)
        yield StreamEvent(type="last", data={})

    async def busy() -> AsyncIterator[StreamEvent]:
        for _ in range(20):
            await asyncio.sleep(0.02)
            yield StreamEvent(type="tick", data={})

    async with serving(database.app, route(streams(idle, heartbeat_s=0.2))) as served:
        events = await whole(served)
    assert [e.type for e in events] == ["first", "heartbeat", "heartbeat", "last", "done"]
    beat = events[1]
    assert (beat.event, set(beat.payload)) == ("heartbeat", {"ts", "request_id", "seq"})
    async with serving(database.app, route(streams(busy, heartbeat_s=0.2))) as served:
        assert "heartbeat" not in {e.type for e in await whole(served)}


class Watched:
    """A producer that says when it was closed."""

    def __init__(self, first: int = 1) -> None:
        self.started = asyncio.Event()
        self.closed = asyncio.Event()
        self.produced = 0
        self._first = first

    async def frames(self) -> AsyncIterator[StreamEvent]:
        try:
            while True:
                self.produced += 1
                yield StreamEvent(type="tick", data={"pad": "x" * (0 if self._first == 1 else 8192)})
                if self.produced >= self._first:
                    self.started.set()
                    await asyncio.sleep(60)
        finally:
            self.closed.set()


async def test_a_client_that_leaves_closes_the_producer_within_a_second(database: FreshDatabase) -> None:
    watched = Watched()
    async with serving(database.app, route(streams(watched.frames))) as served:
        async with served.session.get(served.base + "/v1/things", headers=HEADERS) as response:
            await watched.started.wait()
            response.close()
        async with asyncio.timeout(1):
            await watched.closed.wait()
        await eventually(lambda: not len(served.streams), 1)


async def test_a_reader_that_stops_reading_is_cut_without_burning_the_processor(
    database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "STALLED_S", 0.8)
    watched = Watched(first=100_000)
    async with serving(database.app, route(streams(watched.frames, heartbeat_s=0.1))) as served:
        with socket.create_connection(("127.0.0.1", served.port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(
                b"GET /v1/things HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer t1.ann.reader\r\n\r\n"
            )
            await asyncio.sleep(0.3)  # by now every buffer on the way is full
            produced, burnt = watched.produced, time.process_time()
            async with asyncio.timeout(3):
                await watched.closed.wait()
            assert watched.produced <= produced + 40
            assert time.process_time() - burnt < 0.5


async def test_a_stream_that_lives_too_long_is_ended_with_a_reason(database: FreshDatabase) -> None:
    watched = Watched()
    async with serving(database.app, route(streams(watched.frames)), stream_timeout_s=1) as served:
        events = await whole(served)
    assert [e.type for e in events] == ["tick", "error", "done"]
    assert events[1].payload["data"]["code"] == "INTEGRATION_UNAVAILABLE"
    assert watched.closed.is_set()


async def test_a_stream_outlives_the_deadline_of_plain_requests(database: FreshDatabase) -> None:
    async def frames() -> AsyncIterator[StreamEvent]:
        await asyncio.sleep(0.5)
        yield StreamEvent(type="late", data={})

    async with serving(database.app, route(streams(frames)), request_timeout_s=0.2) as served:
        assert [e.type for e in await whole(served)] == ["late", "done"]


async def test_a_revocation_ends_the_streams_of_that_user_or_key_alone(database: FreshDatabase) -> None:
    """Over the real bus; the streams of the other user and of the same user id elsewhere go on."""
    watched: list[Watched] = []

    async def handler(_call: Any) -> object:
        watched.append(Watched())
        return streamed(watched[-1].frames())

    async def opened(served: Served, token: str) -> "asyncio.Task[list[Sent]]":
        async def read() -> list[Sent]:
            headers = {"Authorization": f"Bearer {token}"}
            async with served.session.get(served.base + "/v1/things", headers=headers) as response:
                return list(interpret(await response.read()))

        task = asyncio.create_task(read())
        before = len(watched)
        await eventually(lambda: len(watched) > before, 2)
        async with asyncio.timeout(2):
            await watched[-1].started.wait()
        return task

    async with serving(database.app, route(handler)) as served:
        tokens = ("t1.ann.reader", "t1.bob.reader", "t2.ann.reader", "t1.cyd.reader")
        ann, bob, other, cyd = [await opened(served, token) for token in tokens]
        with contextlib.suppress(RuntimeError):
            async with served.pool.tenant("t1") as tx:
                await served.streams.cut(tx, user_id="ann")
                raise RuntimeError("rolled back")
        await asyncio.sleep(0.2)
        assert not ann.done()
        async with served.pool.tenant("t1") as tx:
            await served.streams.cut(tx, user_id="ann")
            await served.streams.cut(tx, credential_id="key-cyd")
        for task in (ann, cyd):
            async with asyncio.timeout(1):
                events = await task
            assert [e.type for e in events] == ["tick", "error", "done"]
            assert events[1].payload["data"]["code"] == "AUTH_UNAUTHORIZED"
        await asyncio.sleep(0.3)
        assert not bob.done()
        assert not other.done()
        for task in (bob, other):
            task.cancel()
        await asyncio.gather(bob, other, return_exceptions=True)


async def test_a_cut_without_user_and_key_ends_nobody(database: FreshDatabase) -> None:
    """An anonymous caller's empty ids must not match a message's empty fields."""
    watched = Watched()
    async with serving(database.app, public(streams(watched.frames))) as served:
        async with served.session.get(served.base + "/v1/things") as response:
            await watched.started.wait()
            async with served.pool.tenant("t1") as tx:
                await served.streams.cut(tx)
            await asyncio.sleep(0.2)
            assert not watched.closed.is_set()
            response.close()


async def test_ending_all_streams_tells_each_client_why(database: FreshDatabase) -> None:
    watched = Watched()
    async with serving(database.app, route(streams(watched.frames))) as served:
        task = asyncio.create_task(whole(served))
        await watched.started.wait()
        served.streams.end_all(Problem("SERVICE_UNAVAILABLE", "shutting down"))
        async with asyncio.timeout(1):
            events = await task
    assert [e.type for e in events] == ["tick", "error", "done"]
    assert events[1].payload["data"] == {"code": "SERVICE_UNAVAILABLE", "message": "shutting down"}
    assert watched.closed.is_set()


async def test_the_first_frame_leaves_before_the_second_is_made(database: FreshDatabase) -> None:
    watched = Watched()
    async with serving(database.app, route(streams(watched.frames))) as served:
        async with served.session.get(served.base + "/v1/things", headers=HEADERS) as response:
            async with asyncio.timeout(1):
                assert await response.content.readline() == b"event: message\n"
            response.close()


@pytest.mark.parametrize(("until", "status"), [(b'"type":"done"', "200"), (b'"type":"word"', "499")])
async def test_what_was_sent_whole_is_logged_as_answered(
    database: FreshDatabase, until: bytes, status: str
) -> None:
    async def words() -> AsyncIterator[StreamEvent]:
        try:
            yield StreamEvent(type="word", data={})
            if status == "499":
                await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.2)  # the client is gone before the stream is closed

    async with serving(database.app, route(streams(words))) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET /v1/things HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer t1.ann.reader\r\n\r\n")
        await reader.readuntil(until)
        writer.close()
        counted = f'path="/v1/things",status="{status}"'
        await eventually(lambda: counted in served.telemetry.expose().decode(), 5)
        assert served.telemetry.expose().decode().count("test_http_requests_total{") == 1
