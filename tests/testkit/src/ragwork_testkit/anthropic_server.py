"""A local server that speaks the wire format of Anthropic's Messages API, and can be told how to fail. No model behind
it: it echoes, so that a test knows what must come back.
"""

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, TypeAlias

import attrs
from aiohttp import web

from ragwork_testkit.local_server import StatusError, broke_stream, served

KEY: Final = "sk-ant-test-0123456789"
_FIRST_PASSAGE: Final = re.compile(r'<passage n="?1\b')
#: Fields of a request that the service takes; another one is refused, as the service does.
_FIELDS: Final = frozenset({"model", "max_tokens", "messages", "system", "stream"})

How: TypeAlias = Literal[
    "status",  # answer with ``status`` and an error body
    "stall",  # send nothing more, ever
    "drop",  # cut the connection
    "truncate",  # end the answer properly, but too early
    "garbage",  # send what is not JSON
    "error_event",  # report an error inside a stream that began with 200
    "no_usage",  # don't count tokens
    "refusal",  # stop since the rest is held back
]


@attrs.frozen(kw_only=True)
class AnthropicFault:
    """How the next request goes wrong; in a stream, after ``pieces`` pieces. ``kind`` is the error's type."""

    how: How
    status: int = 500
    kind: str = "api_error"
    retry_after: str | None = None
    pieces: int = 2


@attrs.frozen(kw_only=True)
class AnthropicCall:
    """A request as it arrived."""

    headers: Mapping[str, str]
    body: Mapping[str, Any]


class AnthropicServer:
    """What a test sees: where the server is, what it was asked, and how it shall fail.

    Each request uses up one of ``faults``. ``pause_s`` is waited before each piece of a stream; ``abandoned`` counts
    streams whose client left.
    """

    def __init__(self) -> None:
        self.base_url = ""
        self.requests: list[AnthropicCall] = []
        self.faults: deque[AnthropicFault] = deque()
        self.pause_s = 0.0
        self.abandoned = 0

    def fail(self, how: How, **more: Any) -> None:
        """The next request that has no fault yet fails this way."""
        self.faults.append(AnthropicFault(how=how, **more))

    def application(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/messages", self._messages)
        return app

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.requests.append(AnthropicCall(headers=dict(request.headers), body=body))
        fault = self.faults.popleft() if self.faults else None
        if KEY not in (request.headers.get("X-Api-Key"), _bearer(request)):
            raise _error(AnthropicFault(how="status", status=401, kind="authentication_error"))
        if (wrong := _wrong(body, request.headers)) is not None:
            raise _error(AnthropicFault(how="status", status=400, kind="invalid_request_error"), wrong)
        if fault and fault.how == "status":
            raise _error(fault)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            return await self._answer(request, response, body, fault)
        except (asyncio.CancelledError, ConnectionError):
            self.abandoned += 1
            raise

    async def _answer(
        self,
        request: web.Request,
        response: web.StreamResponse,
        body: Mapping[str, Any],
        fault: AnthropicFault | None,
    ) -> web.StreamResponse:
        pieces = _pieces(body)
        said, reason = pieces[: body["max_tokens"]], "end_turn"
        if len(said) < len(pieces):
            reason = "max_tokens"
        counts = not (fault and fault.how == "no_usage")
        usage = {"input_tokens": len(json.dumps(body["messages"])) // 4 + 1, "output_tokens": 1}
        message = {
            "id": "msg_test",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": body["model"],
        }
        await _send(response, "message_start", message=message | ({"usage": usage} if counts else {}))
        await _send(response, "content_block_start", index=0, content_block={"type": "text", "text": ""})
        await _send(response, "ping")
        for number, piece in enumerate(said):
            if fault and number == fault.pieces:
                if fault.how == "refusal":
                    reason = "refusal"
                    break
                if await broke_stream(request, response, fault.how, _broken(fault)):
                    return response
            await asyncio.sleep(self.pause_s)
            await _send(response, "content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
        await _send(response, "content_block_stop", index=0)
        more = {"usage": {"output_tokens": len(said)}} if counts else {}
        await _send(response, "message_delta", delta={"stop_reason": reason, "stop_sequence": None}, **more)
        await _send(response, "message_stop")
        return response


@asynccontextmanager
async def serving() -> AsyncIterator[AnthropicServer]:
    """A server on a free port of the loopback interface."""
    server = AnthropicServer()
    async with served(server.application()) as address:
        server.base_url = address
        yield server


def _bearer(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def _wrong(body: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    """What the service would refuse the request for."""
    if "anthropic-version" not in headers:
        return "anthropic-version: header is required"
    if unknown := set(body) - _FIELDS:
        return f"{min(unknown)}: Extra inputs are not permitted"
    roles = [message["role"] for message in body["messages"]]
    if not roles or roles[0] != "user" or not set(roles) <= {"user", "assistant"}:
        return 'messages: first message must use the "user" role'
    texts = [block["text"] for message in body["messages"] for block in message["content"]]
    if not all(text.strip() for text in texts):
        return "messages: text content blocks must contain non-whitespace text"
    return None


def _pieces(body: Mapping[str, Any]) -> Sequence[str]:
    """The last message word by word, and a mark in three pieces when the prompt holds passages."""
    asked = body["messages"][-1]["content"][-1]["text"]
    said = re.findall(r"\s*\S+", f"You asked: {asked}")
    cited = _FIRST_PASSAGE.search(json.dumps(body).replace('\\"', '"'))
    return [*said, " [", "1", "]"] if cited else said


async def _send(response: web.StreamResponse, kind: str, **more: Any) -> None:
    await response.write(_event(kind, **more))


def _event(kind: str, **more: Any) -> bytes:
    data = json.dumps({"type": kind, **more})
    return f"event: {kind}\ndata: {data}\n\n".encode()


def _broken(fault: AnthropicFault) -> Mapping[str, bytes]:
    """What is sent in the middle of a stream that breaks."""
    return {
        "garbage": b'event: content_block_delta\ndata: {"type": "content_bl\n\n',
        "error_event": _event("error", error={"type": fault.kind, "message": "as told"}),
    }


def _error(fault: AnthropicFault, message: str = "as told") -> web.HTTPException:
    body = {"type": "error", "error": {"type": fault.kind, "message": message}, "request_id": "req_test"}
    headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
    return StatusError(fault.status, json.dumps(body), headers)
