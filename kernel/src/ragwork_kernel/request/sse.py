"""Event streams: frames in, numbered server-sent events out, ended exactly once.

A stream is registered under its tenant and everybody and everything it stands on, so that a revocation in any
process can end it; one side task per stream writes, heartbeats and gives up on a reader that stopped reading.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import attrs
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp_sse import EventSourceResponse
from ragwork_hooks.auth import Principal
from ragwork_hooks.errors import Problem
from ragwork_hooks.http import EventStream, StreamEvent
from ragwork_hooks.plugin import Ended
from ragwork_hooks.storage import Transaction

from ragwork_kernel.base import json_codec
from ragwork_kernel.base.error_answers import classify
from ragwork_kernel.data.notifications import NotificationChannel

log = logging.getLogger(__name__)
TOPIC = "cut"
STALLED_S = 30.0
#: Ends that a request under way may have missed: between its authentication and its stream.
RECENT = 4096
MAX_BUFFERED = 65_536


class StreamResponse(EventSourceResponse):
    """A stream of events whose heartbeats and patience are the pump's, not the library's."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(status=status, headers=headers, allow_all_methods=True, send_timeout=None)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if not request.keep_alive:
            # The library says keep-alive whatever happens, and the next request would be lost.
            self.headers["Connection"] = "close"
        # Not the library's own, which starts a task for its pings.
        writer = await super(EventSourceResponse, self).prepare(request)
        self.enable_chunked_encoding()
        return writer


@attrs.define(eq=False)
class LiveStream:
    """A stream under way. ``reason`` is set when the server, not the client, ends it; ``sent_whole`` once
    nothing of it is left to send.
    """

    task: "asyncio.Task[object]"
    principal: Principal | None
    reason: Problem | None = None
    sent_whole: bool = False

    def end(self, reason: Problem) -> None:
        if self.reason is None:
            self.reason = reason
            self.task.cancel()


class StreamRegistry:
    """The live streams of this process. Implements ``ragwork_hooks.plugin.Streams``."""

    def __init__(self, notifications: NotificationChannel) -> None:
        self._notifications = notifications
        self._live: set[LiveStream] = set()
        self._ended: tuple[Ended, ...] = ()
        self._recent: deque[tuple[float, dict[str, str]]] = deque(maxlen=RECENT)
        notifications.on(TOPIC, self._cut)

    def freeze(self, ended: tuple[Ended, ...]) -> None:
        """Whom to tell of an end. Set once at boot."""
        self._ended = ended

    def __len__(self) -> int:
        return len(self._live)

    async def cut(
        self, tx: Transaction, *, user_id: str | None = None, credential_id: str | None = None
    ) -> None:
        message = {"tenant": tx.tenant_id, "user": user_id or "", "credential": credential_id or ""}
        for tell in self._ended:
            await tell(tx, user_id, credential_id)
        await self._notifications.publish(tx, TOPIC, message)

    @contextlib.contextmanager
    def registered(self, principal: Principal | None, since: float = math.inf) -> Iterator[LiveStream]:
        """``since`` is when the caller was believed, as ``time.perf_counter`` counts: what ended later ends this."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a stream runs in a task")
        live = LiveStream(task, principal)
        self._live.add(live)
        end = _end_of(principal)
        expired = Problem("AUTH_EXPIRED_KEY", "the credential behind this stream has expired")
        timer = end and asyncio.get_running_loop().call_later(
            max(0.0, (end - datetime.now(UTC)).total_seconds()), live.end, expired
        )
        for message in [message for at, message in self._recent if at >= since]:
            self._match(live, message)
        try:
            yield live
        finally:
            self._live.discard(live)
            if timer:
                timer.cancel()

    def end_all(self, reason: Problem) -> None:
        for live in tuple(self._live):
            live.end(reason)

    def _cut(self, message: dict[str, str]) -> None:
        self._recent.append((time.perf_counter(), message))
        for live in tuple(self._live):
            self._match(live, message)

    @staticmethod
    def _match(live: LiveStream, message: Mapping[str, str]) -> None:
        if live.principal is not None and any(_stands(who, message) for who in live.principal.chain):
            live.end(Problem("AUTH_UNAUTHORIZED", "the credential behind this stream was revoked"))


def _stands(who: Principal, ended: Mapping[str, str]) -> bool:
    """Whether ``who`` is, or stands on, what has ended."""
    credential = ended["credential"]
    hit = who.user_id == ended["user"] or credential == who.credential_id or credential in who.stands_on
    return hit and who.tenant_id == ended["tenant"]


def _end_of(principal: Principal | None) -> datetime | None:
    """The first end of a credential in the chain."""
    chain = () if principal is None else principal.chain
    return min((who.expires_at for who in chain if who.expires_at is not None), default=None)


class FrameWriter:
    """Numbers frames into a buffer; ``pump`` carries the buffer to the client, many frames in one write.

    Frames that are ready together leave together, and none waits for another: a producer that suspends
    lets the pump run.
    """

    def __init__(self, response: web.StreamResponse, echo_id: str, fields: Mapping[str, object]) -> None:
        self._response = response
        self._echo_id = echo_id
        #: What stands in each payload between its type and its data, as JSON without braces.
        self._common = json_codec.dumps({"request_id": echo_id, **fields})[1:-1]
        self._kinds: dict[str, bytes] = {}
        self._seq = 0
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._closing = False

    async def write(self, frame: StreamEvent) -> None:
        """Queue a frame, and wait while the client is ``behind``."""
        self.append(frame)
        if self.behind:
            await self.caught_up()

    def append(self, frame: StreamEvent) -> None:
        """Queue a frame."""
        kind = self._kinds.get(frame.type)
        if kind is None:
            kind = self._kinds[frame.type] = json_codec.dumps(frame.type)
        data = json_codec.dumps(frame.data)
        self._queue(frame.event.encode(), b'"type":%b,%b,"data":%b' % (kind, self._common, data))

    @property
    def behind(self) -> bool:
        """Whether the client has more than ``MAX_BUFFERED`` bytes to take."""
        return self._buffered > MAX_BUFFERED

    async def caught_up(self) -> None:
        """Once it is not behind any more."""
        while self.behind:
            self._emptied.clear()
            await self._emptied.wait()

    def close(self) -> None:
        """Let ``pump`` end when the buffer is empty."""
        self._closing = True
        self._filled.set()

    async def pump(self, heartbeat_s: float) -> None:
        """Write until closed, the end of the body included; heartbeat when idle.

        Raises ``TimeoutError`` when the client stopped reading.
        """
        loop = asyncio.get_running_loop()
        while True:
            if not self._filled.is_set():
                beat = loop.call_later(heartbeat_s, self._heartbeat)
                try:
                    await self._filled.wait()
                finally:
                    beat.cancel()
            self._filled.clear()
            data = b"".join(self._buffer)
            self._buffer.clear()
            self._buffered = 0
            self._emptied.set()
            async with asyncio.timeout(STALLED_S):
                if self._closing:
                    await self._response.write_eof(data)
                    return
                await self._response.write(data)

    def _heartbeat(self) -> None:
        payload = {"ts": datetime.now(UTC), "request_id": self._echo_id}
        self._queue(b"heartbeat", json_codec.dumps(payload)[1:-1])

    def _queue(self, event: bytes, payload: bytes) -> None:
        """``payload`` is JSON without braces: encoded by now, so that what can't be leaves no gap in the numbers."""
        self._seq += 1
        data = b'event: %b\nid: %d\ndata: {%b,"seq":%d}\n\n' % (event, self._seq, payload, self._seq)
        self._buffer.append(data)
        self._buffered += len(data)
        self._filled.set()


async def send(
    request: web.Request,
    response: web.StreamResponse,
    stream: EventStream,
    echo_id: str,
    live: LiveStream,
    timeout_s: float,
) -> str:
    """Write ``stream`` to its end; ``ok`` or the code of the error frame that ended it.

    Raises ``CancelledError`` when the client has left or stopped reading.
    """
    try:
        await response.prepare(request)
        return await _run_writer(FrameWriter(response, echo_id, stream.fields), stream, live, timeout_s)
    except ConnectionResetError as gone:
        raise asyncio.CancelledError from gone
    finally:
        await asyncio.shield(_close(stream))


async def _run_writer(writer: FrameWriter, stream: EventStream, live: LiveStream, timeout_s: float) -> str:
    pump = asyncio.create_task(writer.pump(stream.heartbeat_s))
    # A pump that ends early has lost its client: then the handler ends as if it had been cancelled.
    pump.add_done_callback(lambda ended: _on_writer_end(ended, live))
    try:
        outcome = await _produce(writer, stream, live, timeout_s)
        await writer.write(StreamEvent(type="done", data={}))
        writer.close()
        await pump
        return outcome
    finally:
        # A client that leaves upon `done` cancels this task before it hears of the pump's end.
        live.sent_whole = pump.done() and not pump.cancelled() and pump.exception() is None
        pump.cancel()


async def _produce(writer: FrameWriter, stream: EventStream, live: LiveStream, timeout_s: float) -> str:
    try:
        async with asyncio.timeout(timeout_s):
            async for frame in stream.frames:
                writer.append(frame)
                if writer.behind:
                    await writer.caught_up()
    except asyncio.CancelledError as error:
        if not live.task.cancelling():  # something that the producer awaited was cancelled, not this stream
            return await _write_error(writer, error)
        if live.reason is None:
            raise
        live.task.uncancel()
        return await _write_error(writer, live.reason)
    except Exception as error:
        return await _write_error(writer, error)
    return "ok"


def _on_writer_end(pump: "asyncio.Task[None]", live: LiveStream) -> None:
    if not pump.cancelled() and pump.exception() is not None:
        live.task.cancel()


async def _close(stream: EventStream) -> None:
    close = getattr(stream.frames, "aclose", None)
    if close is not None:
        await close()


async def _write_error(writer: FrameWriter, error: BaseException) -> str:
    code, message, _ = classify(error, of="stream")
    await writer.write(StreamEvent(type="error", data={"code": code, "message": message}))
    return code
