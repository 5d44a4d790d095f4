"""A local server that speaks the wire formats of Google's services, and can be told how to fail: search of
Discovery Engine, Gemini and embeddings both of Vertex AI and of the Gemini API, and the token exchange.
Credentials are checked. No model behind it: it echoes.
"""

import asyncio
import json
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias

import attrs
from aiohttp import web

from ragwork_testkit.google_filter import FilterSyntaxError
from ragwork_testkit.google_search import SearchPart, found_by
from ragwork_testkit.google_tokens import GoogleTokens
from ragwork_testkit.local_server import StatusError, broke_stream, served, spoiled
from ragwork_testkit.openai_server import embedding

API_KEY, PROJECT, LOCATION = "AIzaTest0123456789", "test-project", "europe-west1"
DIMENSION = 768
_SEARCH_AUDIENCE = "https://discoveryengine.googleapis.com/"
_SEARCH = re.compile(
    r"/v1/projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/collections/default_collection"
    r"/dataStores/(?P<target>[^/]+)/servingConfigs/default_config:search"
)
_VERTEX = re.compile(
    r"/v1beta1/projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/publishers/google"
    r"/models/(?P<target>[^/:]+):(?P<verb>\w+)"
)
_FIRST_PASSAGE = re.compile(r"<passage n=\"?1\b")
_GEMINI = re.compile(r"/v1(?:beta)?/models/(?P<target>[^/:]+):(?P<verb>\w+)")

How: TypeAlias = Literal[
    "status",  # answer with ``status`` and an error body
    "stall",  # send nothing more, ever
    "drop",  # cut the connection
    "truncate",  # end the answer properly, but too early
    "garbage",  # send what is not JSON
    "wrong_shape",  # JSON of the wrong types
    "redirect",  # to another address
    "error_frame",  # report an error inside a stream that began with 200
    "withhold",  # end the answer for ``reason``, with an offer to go on
    "block",  # refuse the question for ``reason``
    "wrong_dimension",  # vectors one too long
    "missing_item",  # leave out the last vector
    "no_usage",  # don't count tokens
]


@attrs.frozen(kw_only=True)
class GoogleFault:
    """How the next request goes wrong; in a stream, after ``pieces`` pieces. ``details`` are those of the
    error's body.
    """

    how: How
    status: int = 500
    retry_after: str | None = None
    details: Sequence[Mapping[str, Any]] = ()
    reason: str = "SAFETY"
    pieces: int = 2


@attrs.frozen(kw_only=True)
class GoogleCall:
    """A request as it arrived. ``target`` is the data store or model; ``caller`` the account or ``"api key"``."""

    path: str
    target: str
    body: Mapping[str, Any]
    caller: str | None
    headers: Mapping[str, str]


class GoogleServer:
    """What a test sees: where the server is, what it was asked, and how it shall fail.

    ``stores`` maps data stores to what they find, best first; ``owners``, if it has the store, to the only
    account that may read it. Each request uses up one of ``faults``. ``pause_s`` is waited before each piece
    of a chat stream; ``abandoned`` counts requests whose client left,
    ``strayed`` those to no method; ``page_size`` bounds a page of results.
    """

    def __init__(self) -> None:
        self.base_url = ""
        self.tokens = GoogleTokens()
        self.reset()

    def reset(self) -> None:
        """As new, at the same address and with the same accounts: clients hold their tokens."""
        self.stores: dict[str, Sequence[SearchPart]] = {}
        self.owners: dict[str, str] = {}
        self.requests: list[GoogleCall] = []
        self.faults: deque[GoogleFault] = deque()
        self.pause_s = 0.0
        self.abandoned = 0
        self.strayed = 0
        self.page_size = 100

    def fail(self, how: How, **more: Any) -> None:
        """The next request that has no fault yet fails this way."""
        self.faults.append(GoogleFault(how=how, **more))

    def account(self, name: str = "operator") -> dict[str, str]:
        """The key file of a service account that this server knows."""
        return self.tokens.account(name, f"{self.base_url}/token")

    def application(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/token", self._token)
        app.router.add_post("/{path:.*}", self._counted)
        return app

    async def _token(self, request: web.Request) -> web.StreamResponse:
        token = self.tokens.exchange(await request.post())
        if token is None:
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response({"access_token": token, "expires_in": 3600, "token_type": "Bearer"})

    async def _counted(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._served(request)
        except (asyncio.CancelledError, ConnectionError):
            self.abandoned += 1
            raise

    async def _served(self, request: web.Request) -> web.StreamResponse:
        service = next((p for p in (_SEARCH, _VERTEX, _GEMINI) if p.fullmatch(request.path)), None)
        match = service.fullmatch(request.path) if service else None
        if match is None:
            self.strayed += 1
            raise _error(404, f"no such method: {request.path}")
        recorded = GoogleCall(
            path=request.path,
            target=match["target"],
            body=json.loads(await request.read()),
            caller=self._caller(request, with_key=service is _GEMINI),
            headers=dict(request.headers),
        )
        self.requests.append(recorded)
        fault = self.faults.popleft() if self.faults else None
        if recorded.caller is None:
            raise self._unknown_caller(request)
        if fault and fault.how == "status":
            raise _error(fault.status, "as told", fault.retry_after, fault.details)
        if fault and fault.how == "redirect":
            raise web.HTTPTemporaryRedirect(f"{self.base_url}/elsewhere")
        verb = "search" if service is _SEARCH else match["verb"]
        return await self._verbs()[verb](request, recorded, fault)

    def _verbs(self) -> Mapping[str, Callable[..., Awaitable[web.StreamResponse]]]:
        return {
            "search": self._search,
            "streamGenerateContent": self._stream,
            "generateContent": self._generate,
            "predict": self._predict,
            "batchEmbedContents": self._batch_embed,
        }

    def _caller(self, request: web.Request, *, with_key: bool) -> str | None:
        if with_key:
            return "api key" if request.headers.get("x-goog-api-key") == API_KEY else None
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return self.tokens.bearer(token, _SEARCH_AUDIENCE) if scheme == "Bearer" else None

    @staticmethod
    def _unknown_caller(request: web.Request) -> web.HTTPException:
        if "x-goog-api-key" in request.headers:
            key = request.headers["x-goog-api-key"]
            return _error(400, f"API key {key} not valid", details=[{"reason": "API_KEY_INVALID"}])
        return _error(401, "Request had invalid authentication credentials.")

    # --- search ---------------------------------------------------------------------------------

    async def _search(
        self, request: web.Request, recorded: GoogleCall, fault: GoogleFault | None
    ) -> web.StreamResponse:
        store, body = recorded.target, recorded.body
        if store not in self.stores:
            raise _error(404, f"DataStore {store} not found")
        if self.owners.get(store, recorded.caller) != recorded.caller:
            raise _error(403, "Permission denied")
        try:
            results = found_by(body, self.stores[store])
        except FilterSyntaxError as error:
            raise _error(400, str(error)) from error
        start = int(body.get("pageToken") or 0)
        end = start + min(int(body.get("pageSize") or 50), self.page_size)
        answer: dict[str, Any] = {"results": results[start:end], "totalSize": len(results)}
        if end < len(results):
            answer["nextPageToken"] = str(end)
        return await _whole(request, answer, fault)

    # --- chat -----------------------------------------------------------------------------------

    async def _generate(
        self, request: web.Request, recorded: GoogleCall, fault: GoogleFault | None
    ) -> web.StreamResponse:
        said, reason = _said(recorded.body)
        whole = _candidate("".join(said), reason) | _usage(recorded.body, said)
        return await _whole(request, whole, fault)

    async def _stream(
        self, request: web.Request, recorded: GoogleCall, fault: GoogleFault | None
    ) -> web.StreamResponse:
        if request.query.get("alt") != "sse":
            raise _error(400, "only server-sent events are spoken here")
        said, reason = _said(recorded.body)
        counted = {} if fault and fault.how == "no_usage" else _usage(recorded.body, said)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, piece in enumerate(said):
            if (
                fault
                and number == fault.pieces
                and await broke_stream(request, response, fault.how, _broken(fault))
            ):
                return response
            await asyncio.sleep(self.pause_s)
            await _send(response, _candidate(piece, None))
        await _send(response, _candidate("", reason) | counted)
        return response

    # --- embeddings -----------------------------------------------------------------------------

    async def _predict(
        self, request: web.Request, recorded: GoogleCall, fault: GoogleFault | None
    ) -> web.StreamResponse:
        texts = [instance["content"] for instance in recorded.body["instances"]]
        vectors = await _embedded(texts, fault)
        items = [{"embeddings": {"values": vector, "statistics": {}}} for vector in vectors]
        return await _whole(request, {"predictions": items}, fault)

    async def _batch_embed(
        self, request: web.Request, recorded: GoogleCall, fault: GoogleFault | None
    ) -> web.StreamResponse:
        texts = [item["content"]["parts"][0]["text"] for item in recorded.body["requests"]]
        vectors = await _embedded(texts, fault)
        return await _whole(request, {"embeddings": [{"values": vector} for vector in vectors]}, fault)


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[GoogleServer]:
    """A server on a free port of the loopback interface."""
    server = GoogleServer()
    async with served(server.application(), tls) as address:
        server.base_url = address
        yield server


def _said(body: Mapping[str, Any]) -> tuple[list[str], str]:
    """The last message word by word, and a mark in three pieces when the prompt holds passages."""
    messages = [*body["contents"], body.get("systemInstruction", {})]
    texts = [part["text"] for message in messages for part in message.get("parts", [])]
    said = re.findall(r"\s*\S+", "You asked: " + body["contents"][-1]["parts"][0]["text"])
    if any(_FIRST_PASSAGE.search(text) for text in texts):
        said += [" [", "1", "]"]
    limit = body.get("generationConfig", {}).get("maxOutputTokens") or len(said)
    return said[:limit], "MAX_TOKENS" if limit < len(said) else "STOP"


def _candidate(text: str, reason: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    return {"candidates": [candidate | ({"finishReason": reason} if reason else {})]}


def _usage(body: Mapping[str, Any], said: Sequence[str]) -> dict[str, Any]:
    prompt = len(json.dumps(body)) // 4 + 1
    counts = {"promptTokenCount": prompt, "candidatesTokenCount": len(said)}
    return {"usageMetadata": {**counts, "totalTokenCount": prompt + len(said)}}


async def _embedded(texts: Sequence[str], fault: GoogleFault | None) -> list[list[float]]:
    if not all(texts):
        raise _error(400, "content is empty")
    dimension = DIMENSION + bool(fault and fault.how == "wrong_dimension")
    # In a thread: a test that watches the event loop means the client's work, not ours.
    vectors = await asyncio.to_thread(lambda: [embedding(text, dimension) for text in texts])
    return vectors[:-1] if fault and fault.how == "missing_item" else vectors


async def _send(response: web.StreamResponse, event: Mapping[str, Any]) -> None:
    await response.write(_event(event))


def _event(event: Mapping[str, Any]) -> bytes:
    return b"data: " + _json(event) + b"\r\n\r\n"


def _broken(fault: GoogleFault) -> Mapping[str, bytes]:
    """What is sent in the middle of a stream that breaks."""
    withheld = _candidate("", fault.reason)
    withheld["candidates"][0]["continuationToken"] = "dG9rZW4="
    return {
        "garbage": b'data: {"candidates": [{"content": \r\n\r\n',
        "wrong_shape": _event({"candidates": "none"}),
        "error_frame": _event({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}),
        "withhold": _event(withheld),
        "block": _event({"promptFeedback": {"blockReason": fault.reason}}),
    }


async def _whole(
    request: web.Request, body: Mapping[str, Any], fault: GoogleFault | None
) -> web.StreamResponse:
    """An answer in one piece, or what the fault makes of it."""
    data = await asyncio.to_thread(_json, body)
    if fault and fault.how == "wrong_shape":
        data = _json(dict.fromkeys(body, "none"))
    data = await spoiled(request, data, fault.how if fault else None)
    return web.Response(body=data, content_type="application/json")


def _json(body: Mapping[str, Any]) -> bytes:
    """As the service writes it, which has no lone surrogates to write."""
    return json.dumps(body, ensure_ascii=False).encode(errors="replace")


def _error(
    status: int, message: str, retry_after: str | None = None, details: Sequence[Mapping[str, Any]] = ()
) -> web.HTTPException:
    body = {"error": {"code": status, "message": message, "status": "TEST", "details": list(details)}}
    return StatusError(status, json.dumps(body), {"Retry-After": retry_after} if retry_after else {})
