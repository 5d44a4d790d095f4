"""Recording what a provider and its service say to each other, and replaying it without the service.

    async with recording(path, "https://api.vendor.example/v1", secrets=[key]) as base_url:
        ...  # a provider whose endpoint is ``base_url``
    async with replaying(path) as replay:
        ...  # the same, with ``replay.base_url``

Credentials are taken out before a line is written, so a cassette may be committed. A request that signs its ``Host``
(AWS) goes on with the one that the client signed.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TextIO

import aiohttp
import attrs
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from ragwork_testkit.cassette import Answered, Asked, Cassette, Exchange, UnknownRequest, line
from ragwork_testkit.local_server import hang_up, served
from ragwork_testkit.scrubbing import Scrubber

_MAX_BODY_BYTES: Final = 64 * 1024 * 1024
#: What concerns one connection only, or is made anew for the next one.
_OF_CONNECTION: Final = frozenset(
    {
        "connection", "content-encoding", "content-length", "date", "host", "keep-alive", "server",
        "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_BOUNDARY: Final = re.compile(r'boundary="?([^";]+)', re.IGNORECASE)

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def recording(path: Path, upstream: str, *, secrets: Iterable[str] = ()) -> AsyncIterator[str]:
    """Forward to ``upstream`` for as long as the block lasts, and write each exchange to a new file ``path``.

    Gives the address to point a provider at. ``secrets`` are further texts that must not reach the disk.
    An exchange whose client leaves before its end is not written.
    """
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=timeout, skip_auto_headers=("User-Agent",)) as session:
        with path.open("w", encoding="utf-8") as file:
            recorder = _Recorder(session, upstream.rstrip("/"), Scrubber(secrets), file)
            async with _listening(recorder.handle) as base_url:
                yield base_url


class Replay:
    """A server that says what a cassette says."""

    def __init__(self, cassette: Cassette, scrubber: Scrubber) -> None:
        self.base_url = ""
        self.unknown: list[UnknownRequest] = []
        self._cassette = cassette
        self._scrubber = scrubber

    @property
    def left(self) -> int:
        """How many recorded exchanges were not asked for."""
        return self._cassette.left

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self._scrubber.learn(request.headers, request.raw_path, body)
        asked = _asked(request, body, self._scrubber)
        try:
            answered = self._cassette.answer(asked)
        except UnknownRequest as error:
            self.unknown.append(error)
            return web.Response(status=400, text=str(error))
        return await _said(request, answered)


@asynccontextmanager
async def replaying(path: Path, *, secrets: Iterable[str] = ()) -> AsyncIterator[Replay]:
    """Answer from the cassette ``path`` alone. ``secrets`` as when it was recorded, if they occur in requests.

    Each exchange answers once. Leaving the block raises ``UnknownRequest`` when anything else was asked.
    """
    replay = Replay(Cassette.load(path), Scrubber(secrets))
    async with _listening(replay.handle) as replay.base_url:
        try:
            yield replay
        finally:
            if replay.unknown:
                raise replay.unknown[0]


class _Recorder:
    """Passes requests on; ``file`` gets what was said."""

    def __init__(
        self, session: aiohttp.ClientSession, upstream: str, scrubber: Scrubber, file: TextIO
    ) -> None:
        self._session = session
        self._upstream = upstream
        self._scrubber = scrubber
        self._file = file
        self._count = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        number, self._count = self._count, self._count + 1
        body = await request.read()
        self._scrubber.learn(request.headers, request.raw_path, body)
        asked = _asked(request, body, self._scrubber)
        heard = _Heard()
        response = await self._forward(request, body, heard)
        answered = heard.answered(self._scrubber)
        self._file.write(line(Exchange(number=number, asked=asked, answered=answered)) + "\n")
        self._file.flush()
        return response

    async def _forward(self, request: web.Request, body: bytes, heard: "_Heard") -> web.StreamResponse:
        response = web.StreamResponse()
        try:
            async with self._session.request(
                request.method,
                URL(self._upstream + request.raw_path, encoded=True),
                headers=_passed_on(request.headers),
                data=body or None,
                allow_redirects=False,
            ) as upstream:
                heard.head(upstream)
                response = _begun(upstream.status, heard.headers, heard.length)
                await response.prepare(request)
                async for chunk in _chunks(upstream):
                    heard.chunks.append(chunk)
                    await response.write(chunk)
        except aiohttp.ClientConnectionResetError:
            raise  # the client left
        except (TimeoutError, aiohttp.ClientError):
            heard.cut = True
            hang_up(request)
        return response


@attrs.define
class _Heard:
    """An answer as it comes in."""

    status: int | None = None
    headers: dict[str, str] = attrs.field(factory=dict)
    length: int | None = None
    chunks: list[bytes] = attrs.field(factory=list)
    cut: bool = False

    def head(self, upstream: aiohttp.ClientResponse) -> None:
        self.status = upstream.status
        self.length = upstream.content_length
        self.headers = {
            name: value for name, value in upstream.headers.items() if name.lower() not in _OF_CONNECTION
        }

    def answered(self, scrubber: Scrubber) -> Answered:
        whole = b"".join(self.chunks)
        scrubber.learn_from_answer(whole)
        return Answered(
            status=self.status,
            headers=scrubber.headers(self.headers),
            chunks=_split(scrubber.answer(whole), [len(chunk) for chunk in self.chunks]),
            streamed=self.length is None,
            cut=self.cut,
        )


def _asked(request: web.Request, body: bytes, scrubber: Scrubber) -> Asked:
    """The request as it is kept and looked for: without secrets, and without what each run draws anew."""
    found = _BOUNDARY.search(request.headers.get("Content-Type", ""))
    if found:
        body = body.replace(found[1].encode(), b"boundary")
    path = scrubber.path(request.raw_path)
    return Asked(method=request.method, path=path, body=scrubber.request(body))


def _passed_on(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """The client's headers for the service, which is asked not to compress: what is compressed can't be scrubbed."""
    signed = headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256")
    passed = CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in _OF_CONNECTION
    )
    passed["Accept-Encoding"] = "identity"
    if signed and "Host" in headers:
        passed["Host"] = headers["Host"]
    return passed


async def _chunks(upstream: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body in the chunks that the service made."""
    whole = bytearray()
    async for data, is_end in upstream.content.iter_chunks():
        whole += data
        if is_end and whole:
            yield bytes(whole)
            whole.clear()
    if whole:
        yield bytes(whole)


def _split(data: bytes, lengths: Iterable[int]) -> list[bytes]:
    pieces, start = [], 0
    for length in lengths:
        pieces.append(data[start : start + length])
        start += length
    return pieces


async def _said(request: web.Request, answered: Answered) -> web.StreamResponse:
    """Send a recorded answer as it came."""
    length = None if answered.streamed or answered.cut else sum(len(chunk) for chunk in answered.chunks)
    response = _begun(answered.status or 500, answered.headers, length)
    if answered.status is not None:
        await response.prepare(request)
        for chunk in answered.chunks:
            await response.write(chunk)
    if answered.cut:
        hang_up(request)
    return response


def _begun(status: int, headers: Mapping[str, str], length: int | None) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = length
    return response


@asynccontextmanager
async def _listening(handler: _Handler) -> AsyncIterator[str]:
    app = web.Application(client_max_size=_MAX_BODY_BYTES)
    app.router.add_route("*", "/{path:.*}", handler)
    async with served(app) as address:
        yield address
