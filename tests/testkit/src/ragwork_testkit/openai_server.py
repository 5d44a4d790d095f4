"""A local server that speaks OpenAI's wire format, and can be told how to fail. No model behind it: it
echoes, so that a test knows what must come back.
"""

import asyncio
import base64
import hashlib
import io
import json
import re
import struct
import wave
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, TypeAlias

import attrs
from aiohttp import web

from ragwork_testkit.local_server import StatusError, broke_stream, served, spoiled
from ragwork_testkit.mp3 import silence
from ragwork_testkit.wav import comment_of

KEY = "sk-test-0123456789"
_MAX_SPEECH_CHARS = 4096
_MAX_AUDIO_BYTES = 25 * 1024 * 1024
# 8,191 tokens of plain English.
_MAX_EMBEDDING_CHARS = 4 * 8191
_FIRST_PASSAGE = re.compile(r'<passage n="?1\b')

How: TypeAlias = Literal[
    "status",  # answer with ``status`` and an error body
    "stall",  # send nothing more, ever
    "drop",  # cut the connection
    "truncate",  # end the answer properly, but too early
    "garbage",  # send what is not JSON (not MP3)
    "error_frame",  # report an error inside a stream that began with 200
    "wrong_dimension",  # vectors one too long
    "missing_item",  # leave out the last vector
    "no_usage",  # don't count tokens
    "floats",  # vectors as numbers although base64 was asked for
    "no_text",  # a transcription whose text is null
]


@attrs.frozen(kw_only=True)
class OpenAIFault:
    """How the next request goes wrong; in a stream, after ``pieces`` pieces."""

    how: How
    status: int = 500
    code: str | None = None
    retry_after: str | None = None
    pieces: int = 2


@attrs.frozen(kw_only=True)
class OpenAICall:
    """A request as it arrived. ``body`` is the decoded JSON object, or the fields of a form."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


class OpenAIServer:
    """What a test sees: where the server is, what it was asked, and how it shall fail.

    Each request uses up one of ``faults``. ``pause_s`` is waited before each piece of a chat stream;
    ``abandoned`` counts streams whose client left.
    """

    def __init__(self) -> None:
        self.base_url = ""
        self.requests: list[OpenAICall] = []
        self.faults: deque[OpenAIFault] = deque()
        self.pause_s = 0.0
        self.abandoned = 0

    def fail(self, how: How, **more: Any) -> None:
        """The next request that has no fault yet fails this way."""
        self.faults.append(OpenAIFault(how=how, **more))

    def application(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.router.add_post("/v1/audio/speech", self._speech)
        app.router.add_post("/v1/audio/transcriptions", self._transcription)
        return app

    async def _begin(self, request: web.Request) -> tuple[dict[str, Any], OpenAIFault | None]:
        is_form = request.content_type == "multipart/form-data"
        body = dict(await request.post()) if is_form else json.loads(await request.read())
        self.requests.append(OpenAICall(path=request.path, headers=dict(request.headers), body=body))
        fault = self.faults.popleft() if self.faults else None
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            raise _error(web.HTTPUnauthorized, f"Incorrect API key provided: {KEY[:6]}", "invalid_api_key")
        if fault and fault.how == "status":
            raise _status(fault)
        return body, fault

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body, fault = await self._begin(request)
        pieces = _answer(body)
        limit = body.get("max_completion_tokens") or len(pieces)
        said, reason = pieces[:limit], "length" if limit < len(pieces) else "stop"
        usage = {
            "prompt_tokens": sum(len(m["content"]) for m in body["messages"]) // 4 + 1,
            "completion_tokens": len(said),
            "total_tokens": 0,
        }
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
        if body.get("stream"):
            counted = usage if body.get("stream_options", {}).get("include_usage") else None
            return await self._stream(request, body["model"], said, reason, counted, fault)
        message = {"role": "assistant", "content": "".join(said)}
        choice = {"index": 0, "message": message, "finish_reason": reason}
        whole = {**_head(body["model"], "chat.completion"), "choices": [choice], "usage": usage}
        return await _whole(request, json.dumps(whole).encode(), "application/json", fault)

    async def _stream(
        self,
        request: web.Request,
        model: str,
        said: Sequence[str],
        reason: str,
        usage: Mapping[str, int] | None,
        fault: OpenAIFault | None,
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        head = _head(model, "chat.completion.chunk")
        try:
            for number, piece in enumerate(said):
                if (
                    fault
                    and number == fault.pieces
                    and await broke_stream(request, response, fault.how, _BROKEN)
                ):
                    return response
                await asyncio.sleep(self.pause_s)
                await _send(response, head | {"choices": [_choice({"content": piece}, None)]})
        except (asyncio.CancelledError, ConnectionError):
            self.abandoned += 1
            raise
        await _send(response, head | {"choices": [_choice({}, reason)]})
        if usage and not (fault and fault.how == "no_usage"):
            await _send(response, head | {"choices": [], "usage": usage})
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        body, fault = await self._begin(request)
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        if not all(0 < len(text) <= _MAX_EMBEDDING_CHARS for text in texts):
            raise _error(web.HTTPBadRequest, "input is empty or too long", "invalid_input")
        dimension = body.get("dimensions", 1536) + bool(fault and fault.how == "wrong_dimension")
        as_base64 = body.get("encoding_format") == "base64" and not (fault and fault.how == "floats")
        # In a thread: a test that watches the event loop means the client's work, not ours.
        vectors = await asyncio.to_thread(lambda: [embedding(text, dimension) for text in texts])
        items = [
            {"object": "embedding", "index": n, "embedding": _wire(vector, as_base64)}
            for n, vector in enumerate(vectors)
        ]
        items.reverse()  # the index says where each belongs
        if fault and fault.how == "missing_item":
            items.pop()
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        whole = {"object": "list", "model": body["model"], "data": items, "usage": usage}
        return await _whole(request, json.dumps(whole).encode(), "application/json", fault)

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        body, fault = await self._begin(request)
        if not 0 < len(body["input"]) <= _MAX_SPEECH_CHARS:
            raise _error(web.HTTPBadRequest, "input must have 1 to 4096 characters", "invalid_input")
        return await _whole(request, silence(len(body["input"].split()) + 1), "audio/mpeg", fault)

    async def _transcription(self, request: web.Request) -> web.StreamResponse:
        """Says what the comment in the WAV file says."""
        body, fault = await self._begin(request)
        file = body["file"]
        data = file.file.read()
        if not file.filename.endswith(".wav") or not 0 < len(data) <= _MAX_AUDIO_BYTES or not _is_wav(data):
            raise _error(web.HTTPBadRequest, "Invalid file format.", "invalid_value")
        text = None if fault and fault.how == "no_text" else comment_of(data)
        return await _whole(request, json.dumps({"text": text}).encode(), "application/json", fault)


@asynccontextmanager
async def serving() -> AsyncIterator[OpenAIServer]:
    """A server on a free port of the loopback interface."""
    server = OpenAIServer()
    async with served(server.application()) as address:
        server.base_url = f"{address}/v1"
        yield server


def embedding(text: str, dimension: int) -> list[float]:
    """A bag of words, each hashed to eight places: texts with common words are near. Not normalised."""
    vector = [0.0] * dimension
    for word in ["", *re.findall(r"\w+", text.lower())]:
        for place in struct.unpack("<8I", hashlib.blake2b(word.encode(), digest_size=32).digest()):
            vector[place // 2 % dimension] += 1.0 if place % 2 else -1.0
    return vector


def _answer(body: Mapping[str, Any]) -> list[str]:
    """The last message word by word, and a mark in three pieces when the prompt holds passages."""
    said = re.findall(r"\s*\S+", "You asked: " + body["messages"][-1]["content"])
    cited = any(_FIRST_PASSAGE.search(message["content"]) for message in body["messages"])
    return [*said, " [", "1", "]"] if cited else said


def _is_wav(data: bytes) -> bool:
    try:
        with wave.open(io.BytesIO(data)) as file:
            return bool(file.getnframes())
    except (wave.Error, EOFError, struct.error):
        return False


def _head(model: str, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-test", "object": kind, "created": 0, "model": model}


def _choice(delta: Mapping[str, str], reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": reason}


async def _send(response: web.StreamResponse, event: Mapping[str, Any]) -> None:
    await response.write(_event(event))


def _event(event: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


#: What is sent in the middle of a stream that breaks.
_BROKEN: Final = {
    "garbage": b'data: {"choices": [{"delta": \n\n',
    "error_frame": _event({"error": {"message": "overloaded", "type": "server_error"}}),
}


async def _whole(
    request: web.Request, data: bytes, mime: str, fault: OpenAIFault | None
) -> web.StreamResponse:
    """An answer in one piece, or what the fault makes of it."""
    return web.Response(body=await spoiled(request, data, fault.how if fault else None), content_type=mime)


def _wire(vector: list[float], as_base64: bool) -> str | list[float]:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if as_base64 else vector


def _error(kind: type[web.HTTPException], message: str, code: str) -> web.HTTPException:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return kind(text=json.dumps(body), content_type="application/json")


def _status(fault: OpenAIFault) -> web.HTTPException:
    body = {"error": {"message": "as told", "type": "test", "param": None, "code": fault.code}}
    return StatusError(
        fault.status, json.dumps(body), {"Retry-After": fault.retry_after} if fault.retry_after else {}
    )
