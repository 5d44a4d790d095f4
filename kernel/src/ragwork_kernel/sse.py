"""Event streams: frames in, numbered server-sent events out, ended exactly once.

A stream is registered under its tenant, user and credential, so that a revocation in any process can
end it; one side task per stream heartbeats and cuts a reader that stopped reading.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import asyncpg
import attrs
from aiohttp import web
from ragwork_hooks.auth import Principal
from ragwork_hooks.errors import Problem, ProviderError
from ragwork_hooks.http import EventStream, Frame
from ragwork_hooks.storage import Transaction

from ragwork_kernel import codec
from ragwork_kernel.bus import Bus

log = logging.getLogger(__name__)
TOPIC = "cut"
STALLED_S = 30.0
STREAM_HEADERS: Mapping[str, str] = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "Connection": "keep-alive",
    "X-Accel-Buffering": "no",
}


@attrs.define(eq=False)
class LiveStream:
    """A stream under way. ``reason`` is set when the server, not the client, ends it."""

    task: "asyncio.Task[object]"
    principal: Principal | None
    reason: Problem | None = None

    def end(self, reason: Problem) -> None:
        if self.reason is None:
            self.reason = reason
            self.task.cancel()


class StreamRegistry:
    """The live streams of this process. Implements ``ragwork_hooks.plugin.Streams``."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._live: set[LiveStream] = set()
        bus.on(TOPIC, self._cut)

    def __len__(self) -> int:
        return len(self._live)

    async def cut(
        self, tx: Transaction, *, user_id: str | None = None, credential_id: str | None = None
    ) -> None:
        message = {"tenant": tx.tenant_id, "user": user_id or "", "credential": credential_id or ""}
        await self._bus.publish(tx, TOPIC, message)

    @contextlib.contextmanager
    def registered(self, principal: Principal | None) -> Iterator[LiveStream]:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a stream runs in a task")
        live = LiveStream(task, principal)
        self._live.add(live)
        try:
            yield live
        finally:
            self._live.discard(live)

    def end_all(self, reason: Problem) -> None:
        for live in tuple(self._live):
            live.end(reason)

    def _cut(self, message: dict[str, str]) -> None:
        revoked = Problem("AUTH_UNAUTHORIZED", "the credential behind this stream was revoked")
        for live in tuple(self._live):
            who = live.principal
            if who is None or who.tenant_id != message["tenant"]:
                continue
            if who.user_id == message["user"] or who.credential_id == message["credential"]:
                live.end(revoked)


class FrameWriter:
    """Numbers frames and writes them; knows when the last one left."""

    def __init__(
        self, response: web.StreamResponse, echo_id: str, fields: Mapping[str, object]
    ) -> None:
        self._response = response
        self._echo_id = echo_id
        self._fields = fields
        self._seq = 0
        self._idle_since = time.monotonic()
        self._writing_since: float | None = None

    async def write(self, frame: Frame) -> None:
        self._seq += 1
        payload = {
            "type": frame.type,
            "request_id": self._echo_id,
            **self._fields,
            "data": codec.encode(frame.data),
            "seq": self._seq,
        }
        await self._send(frame.event, payload)

    async def watch(self, heartbeat_s: float, stalled: asyncio.Event) -> None:
        """Heartbeat when idle; set ``stalled`` when a write has waited too long for its reader."""
        while True:
            await asyncio.sleep(min(heartbeat_s - self._idle(), STALLED_S / 2))
            if self._writing_since is not None:
                if time.monotonic() - self._writing_since > STALLED_S:
                    stalled.set()
                    return
            elif self._idle() >= heartbeat_s:
                self._seq += 1
                now = datetime.now(UTC)
                beat = {"ts": now, "request_id": self._echo_id, "seq": self._seq}
                await self._send("heartbeat", beat)

    def _idle(self) -> float:
        return time.monotonic() - self._idle_since

    async def _send(self, event: str, payload: Mapping[str, object]) -> None:
        # The number is taken and the bytes are handed over without an await between them.
        data = b"event: %b\nid: %d\ndata: %b\n\n" % (
            event.encode(),
            self._seq,
            codec.dumps(payload),
        )
        self._writing_since = time.monotonic()
        try:
            await self._response.write(data)
        finally:
            self._writing_since = None
            self._idle_since = time.monotonic()


async def send(
    request: web.Request,
    response: web.StreamResponse,
    stream: EventStream,
    echo_id: str,
    live: LiveStream,
    timeout_s: float,
) -> str:
    """Write ``stream`` to its end; ``ok`` or the code of the error frame that ended it.

    Raises ``CancelledError`` when the client has left.
    """
    await response.prepare(request)
    writer = FrameWriter(response, echo_id, stream.fields)
    stalled = asyncio.Event()
    watcher = asyncio.create_task(_guard(writer, stream.heartbeat_s, stalled, live))
    outcome = "ok"
    try:
        async with asyncio.timeout(timeout_s):
            async for frame in stream.frames:
                await writer.write(frame)
    except (ConnectionResetError, asyncio.CancelledError) as gone:
        if live.reason is None or isinstance(gone, ConnectionResetError):
            raise asyncio.CancelledError from gone
        live.task.uncancel()
        outcome = await _write_error(writer, live.reason)
    except Exception as error:
        outcome = await _write_error(writer, error)
    finally:
        watcher.cancel()
        await asyncio.shield(_close(stream))
    await writer.write(Frame(type="done", data={}))
    await response.write_eof()
    return outcome


async def _guard(
    writer: FrameWriter, heartbeat_s: float, stalled: asyncio.Event, live: LiveStream
) -> None:
    with contextlib.suppress(ConnectionResetError):
        await writer.watch(heartbeat_s, stalled)
    if stalled.is_set():
        # No reason is given: nobody reads it. The handler is cancelled as if the client had left.
        live.task.cancel()


async def _close(stream: EventStream) -> None:
    close = getattr(stream.frames, "aclose", None)
    if close is not None:
        await close()


async def _write_error(writer: FrameWriter, error: BaseException) -> str:
    code, message = describe(error)
    await writer.write(Frame(type="error", data={"code": code, "message": message}))
    return code


def describe(error: BaseException) -> tuple[str, str]:
    """Code and message of an ``error`` frame; what nobody foresaw is logged and kept to ourselves."""
    if isinstance(error, Problem | ProviderError):
        return error.code, error.message
    if isinstance(error, TimeoutError):
        return "INTEGRATION_UNAVAILABLE", "the run took longer than this server allows"
    log.error("a stream failed", exc_info=error)
    if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError):
        return "DB_ERROR", "the database refused; the operator's log has the cause"
    return "UNKNOWN_ERROR", "unexpected failure; the operator's log has the cause"
