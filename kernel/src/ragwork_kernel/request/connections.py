"""Connections: how long each may take, how many there may be, and words of our own for what is no request."""

import asyncio
import contextlib
import logging
import resource
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from email.utils import formatdate
from http import HTTPStatus
from itertools import islice
from typing import Any, Final

from aiohttp import HttpVersion10, web
from aiohttp.http_exceptions import LineTooLong
from ragwork_hooks.errors import DEFAULT_CODES, Problem, busy

from ragwork_kernel.base.config import KernelConfig
from ragwork_kernel.base.error_answers import UNEXPECTED
from ragwork_kernel.base.telemetry import Telemetry
from ragwork_kernel.request.client_address import ClientAddress
from ragwork_kernel.request.pipeline import Pipeline

log = logging.getLogger(__name__)
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

#: A client that takes nothing for so long has lost its answer.
STALLED_S: Final = 30.0
_LINGER_S: Final = 0.5
_SAID_EVERY_S: Final = 10.0
_MOST: Final = 10_000
#: Descriptors that database, files and outbound calls may need beside the connections.
_RESERVED: Final = 128
_LOOKED_AT: Final = 100
#: What the parser takes of a target or a header, in bytes.
_LONGEST_LINE: Final = 8190
_BUSY: Final = busy("too many connections are open; try again")
_NO_REQUEST: Final = Problem(
    "BAD_REQUEST", "this is no HTTP/1.1 request; speak HTTP/1.1, without TLS, to this port"
)


class _Idle:
    """Connections of one address, or of all, in the order in which one of them would have to go."""

    def __init__(self) -> None:
        self._strangers: dict[HttpConnection, None] = {}
        self._known: dict[HttpConnection, None] = {}

    def __len__(self) -> int:
        return len(self._strangers) + len(self._known)

    def add(self, connection: "HttpConnection") -> None:
        self._strangers[connection] = None

    def used(self, connection: "HttpConnection") -> None:
        """It has sent a whole request: it goes after those who never did, and after all used before."""
        self.discard(connection)
        self._known[connection] = None

    def discard(self, connection: "HttpConnection") -> None:
        self._strangers.pop(connection, None)
        self._known.pop(connection, None)

    def oldest(self, besides: "HttpConnection") -> "HttpConnection | None":
        """The first that waits for a request; the busy ones met on the way go to the end."""
        for among in (self._strangers, self._known):
            for connection in tuple(islice(among, _LOOKED_AT)):
                if connection is besides:
                    continue
                if not connection.busy:
                    return connection
                among[connection] = among.pop(connection)
        return None


class Connections:
    """All connections of one server."""

    def __init__(self, config: KernelConfig, pipeline: Pipeline, telemetry: Telemetry) -> None:
        self.pipeline = pipeline
        self.head_timeout_s = config.head_timeout_s
        self.keepalive_timeout_s = config.keepalive_timeout_s
        self.most = most_connections(config)
        self._most_per_address = config.max_connections_per_address or max(self.most // 2, 1)
        self._clients = ClientAddress(config.trusted_proxies)
        self._telemetry = telemetry
        self._all = _Idle()
        self._by_address: dict[str, _Idle] = {}
        self._unsaid: Counter[str] = Counter()
        self._said_at = 0.0
        #: From now on every answer is the last on its connection, and says so.
        self.leaving = False
        self._none_left = asyncio.Event()

    def __len__(self) -> int:
        return len(self._all)

    def opened(self, connection: "HttpConnection") -> None:
        """Make room for it, at the cost of the oldest idle one, or refuse it."""
        of_address = self._by_address.setdefault(connection.address, _Idle())
        for group in (self._all, of_address):
            group.add(connection)
        self._count()
        crowded = self._all if len(self._all) > self.most else None
        if len(of_address) > self._most_per_address and not self._clients.trusts(connection.address):
            crowded = of_address
        if crowded is None:
            return
        victim = crowded.oldest(besides=connection)
        if victim is None:
            self.note("refused")
            connection.refuse(_BUSY)
        else:
            self.note("evicted")
            victim.force_close()
            self.closed(victim)

    def used(self, connection: "HttpConnection") -> None:
        for group in self._groups(connection):
            group.used(connection)

    def closed(self, connection: "HttpConnection") -> None:
        for group in self._groups(connection):
            group.discard(connection)
        if not self._by_address.get(connection.address, ()):
            self._by_address.pop(connection.address, None)
        if self.leaving and not len(self):
            self._none_left.set()
        self._count()

    def answering(self, handler: Handler) -> Handler:
        """``handler``, with words of our own for what the router refuses by itself: a target that is no path."""

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            if request.version < HttpVersion10 and isinstance(request.protocol, HttpConnection):
                refused = self.pipeline.refuse(request, _NO_REQUEST, legacy=False)
                request.protocol.hang_up(refused)
                return refused
            if self.leaving:
                request._message = request._message._replace(should_close=True)
            try:
                return await handler(request)
            except web.HTTPException as error:
                code = DEFAULT_CODES.get(error.status, "BAD_REQUEST")
                problem = Problem(code, "the request's target is no path of this server", status=error.status)
                return self.pipeline.refuse(request, problem, legacy=False)

        return answer

    async def gone(self, within_s: float) -> None:
        """Wait until no connection is left, and no longer than that."""
        if len(self):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._none_left.wait(), within_s)

    def note(self, reason: str) -> None:
        """Count a connection that was ended against its will; the log hears of many in one line."""
        self._telemetry.count(
            "http_connections_ended_total",
            "Connections that the server ended: head or answer too slow, evicted for a newer one, refused",
            reason=reason,
        )
        self._unsaid[reason] += 1
        now = asyncio.get_running_loop().time()
        if now - self._said_at >= _SAID_EVERY_S:
            self._said_at = now
            log.warning("connections ended: %s", ", ".join(f"{n} {why}" for why, n in self._unsaid.items()))
            self._unsaid.clear()

    def _groups(self, connection: "HttpConnection") -> Iterator[_Idle]:
        yield self._all
        of_address = self._by_address.get(connection.address)
        if of_address is not None:
            yield of_address

    def _count(self) -> None:
        self._telemetry.level("http_connections", "Open connections", len(self._all))


def most_connections(config: KernelConfig) -> int:
    """What is configured, as far as the process may open descriptors."""
    wanted = config.max_connections or _MOST
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return wanted
    room = max(descriptors - max(_RESERVED, descriptors // 4), 1)
    if config.max_connections and room < wanted:
        log.warning(
            "MAX_CONNECTIONS is %d, but %d descriptors leave room for %d: raise `ulimit -n`",
            wanted,
            descriptors,
            room,
        )
    return min(wanted, room)


class HttpConnection(web.RequestHandler):
    """One connection: a request's head, its idle time and its answers are not waited for without end."""

    __slots__ = ("_connections", "_head", "_head_due", "_stalled", "address")

    def __init__(self, manager: web.Server, connections: Connections) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # None is how it is turned off
            keepalive_timeout=connections.keepalive_timeout_s,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            lingering_time=_LINGER_S,
        )
        self._connections = connections
        self._head = b""
        self._head_due: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self.address = ""

    @property
    def busy(self) -> bool:
        """Whether a request is under way, as opposed to waited for."""
        handling = self._request_count > 0 and self._waiter is None
        return handling or self._request_in_progress or bool(self._messages)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self._connections.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        for timer in (self._head_due, self._stalled):
            if timer is not None:
                timer.cancel()
        self._connections.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self.busy:
            begun = self._head if self._head_due is not None else b""
            self._head = begun if len(begun) > _LONGEST_LINE else begun + data[: _LONGEST_LINE + 1]
        super().data_received(data)
        if self.busy:
            if self._head_due is not None or self._messages:
                self._head_complete()
        elif data and self._head_due is None:
            self._head_due = self._loop.call_later(self._connections.head_timeout_s, self._head_late)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self._loop.call_later(STALLED_S, self._answer_stalled)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def refuse(self, problem: Problem) -> None:
        """Say why and hang up, without a request to answer."""
        self.hang_up(self._connections.pipeline.refusal(problem))

    def hang_up(self, answer: web.Response) -> None:
        """Send ``answer`` as HTTP/1.1, whatever the client speaks, and close."""
        if self.transport is not None:
            self.transport.write(_on_the_wire(answer))
        self.force_close()

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """A body that can't be read was refused in words of our own, and logged with them."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What the parser refused, or nobody foresaw, in our own words; the connection ends with it."""
        if status >= 500:
            log.error("a request failed outside of its handler", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is already under way")
        one_line = b"\n" not in self._head[:_LONGEST_LINE]
        problem = _unreadable(status, exc, one_line)
        answer = _LastWord(self._connections.pipeline.refuse(request, problem, legacy=False))
        answer.force_close()
        self.close()
        return answer

    def _head_complete(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None
        self._connections.used(self)

    def _head_late(self) -> None:
        self._head_due = None
        if not self.busy:
            self._connections.note("head too slow")
            self.refuse(Problem("REQUEST_TIMEOUT", "the head of the request took too long"))

    def _answer_stalled(self) -> None:
        self._connections.note("answer not taken")
        if self.transport is not None:
            self.transport.abort()


class _LastWord(web.Response):
    """The last answer on a connection whose client may still be sending: without a little patience the
    system would tear it down before the client has read it.
    """

    def __init__(self, answer: web.Response) -> None:
        super().__init__(status=answer.status, headers=answer.headers, body=answer.body)

    async def write_eof(self, data: bytes = b"") -> None:
        request = self._req
        await super().write_eof(data)
        transport = None if request is None else request.transport
        if transport is not None and transport.can_write_eof():
            transport.write_eof()
            await asyncio.sleep(_LINGER_S)


def _unreadable(status: int, error: BaseException | None, one_line: bool) -> Problem:
    """Why there was no request, without a byte of what came instead."""
    if status >= 500:
        return Problem("INTERNAL_ERROR", UNEXPECTED)
    text = str(error)
    if isinstance(error, LineTooLong):
        if one_line:
            return Problem("URI_TOO_LONG", f"the request's target is longer than {_LONGEST_LINE} bytes")
        return Problem("REQUEST_HEADER_FIELDS_TOO_LARGE", f"a header is longer than {_LONGEST_LINE} bytes")
    if "Too many headers" in text:
        return Problem("REQUEST_HEADER_FIELDS_TOO_LARGE", "the request has more than 128 headers")
    if "Missing 'Host'" in text:
        return Problem("BAD_REQUEST", "the request has no Host header")
    return _NO_REQUEST


def _on_the_wire(answer: web.Response) -> bytes:
    body: Any = answer.body or b""
    headers = {**answer.headers, "Content-Length": str(len(body)), "HttpConnection": "close"}
    lines = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        f"Date: {formatdate(usegmt=True)}",
    ]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + bytes(body)
