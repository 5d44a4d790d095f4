"""A local server that speaks Bedrock's wire format, and can be told how to fail: Retrieve of knowledge
bases, ConverseStream of models. Signatures are checked. No model behind it: it echoes.
"""

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote

import attrs
from aiohttp import web

from ragwork_testkit import event_stream
from ragwork_testkit.aws_signature import Signed, SignedRequest, verify
from ragwork_testkit.local_server import StatusError, broke_stream, served, spoiled

ACCESS_KEY_ID, SECRET_ACCESS_KEY, REGION = "AKIATEST0123456789", "test-secret/0123456789", "eu-west-3"

How: TypeAlias = Literal[
    "status",  # answer with ``status`` and the error ``code``
    "stall",  # send nothing more, ever
    "drop",  # cut the connection
    "truncate",  # end the answer properly, but too early
    "garbage",  # send what is not JSON; in a stream, a frame with a wrong checksum
    "wrong_shape",  # JSON of the wrong types
    "error_frame",  # the exception ``code`` inside a stream that began with 200
    "no_usage",  # don't count tokens
]


@attrs.frozen(kw_only=True)
class BedrockFault:
    """How the next request goes wrong; in a stream, after ``pieces`` pieces (-1: a stall before its head)."""

    how: How
    status: int = 500
    code: str = "InternalServerException"
    retry_after: str | None = None
    pieces: int = 2


@attrs.frozen(kw_only=True)
class BedrockCall:
    """A request as it arrived. ``target`` is the knowledge base or model, ``signed`` who it came from, ``peer`` the
    connection.
    """

    target: str
    body: Mapping[str, Any]
    signed: Signed | None
    headers: Mapping[str, str]
    peer: object


class BedrockServer:
    """What a test sees: where the server is, what it was asked, and how it shall fail.

    ``secrets`` maps the key ids that may call to their secrets; ``bases`` the knowledge bases to their
    results, best first, in the service's own form; ``owners``, if it has the base, to the only key id that may read
    it. Each request uses up one of ``faults``. ``pause_s`` is waited before each piece of a chat stream; ``abandoned``
    counts requests whose client left; ``page_size`` bounds a page of results.
    """

    def __init__(self) -> None:
        self.base_url = ""
        self.reset()

    def reset(self) -> None:
        """Forget everything but the address."""
        self.secrets = {ACCESS_KEY_ID: SECRET_ACCESS_KEY}
        self.bases: dict[str, Sequence[Mapping[str, Any]]] = {}
        self.owners: dict[str, str] = {}
        self.requests: list[BedrockCall] = []
        self.faults: deque[BedrockFault] = deque()
        self.pause_s = 0.0
        self.abandoned = 0
        self.page_size = 100

    def fail(self, how: How, **more: Any) -> None:
        """The next request that has no fault yet fails this way."""
        self.faults.append(BedrockFault(how=how, **more))

    def application(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/knowledgebases/{target}/retrieve", self._counted(self._retrieve))
        app.router.add_post("/model/{target}/converse-stream", self._counted(self._converse))
        return app

    def _counted(self, handler: Any) -> Any:
        async def counted(request: web.Request) -> web.StreamResponse:
            try:
                answer: web.StreamResponse = await handler(request)
            except (asyncio.CancelledError, ConnectionError):
                self.abandoned += 1
                raise
            return answer

        return counted

    async def _begin(self, request: web.Request) -> tuple[BedrockCall, BedrockFault | None]:
        raw = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        path, _, query = request.raw_path.partition("?")
        arrived = SignedRequest(method=request.method, raw_path=path, query=query, headers=headers, body=raw)
        recorded = BedrockCall(
            target=unquote(request.match_info["target"]),
            body=json.loads(raw),
            signed=verify(arrived, self.secrets),
            headers=headers,
            peer=None if request.transport is None else request.transport.get_extra_info("peername"),
        )
        self.requests.append(recorded)
        fault = self.faults.popleft() if self.faults else None
        if recorded.signed is None or recorded.signed.service != "bedrock":
            raise _error(403, "UnrecognizedClientException", f"The security token {headers} is invalid")
        if fault and fault.how == "status":
            raise _error(fault.status, fault.code, "as told", fault.retry_after)
        return recorded, fault

    async def _retrieve(self, request: web.Request) -> web.StreamResponse:
        recorded, fault = await self._begin(request)
        base, signed = recorded.target, recorded.signed
        if base not in self.bases:
            raise _error(404, "ResourceNotFoundException", f"no knowledge base {base}")
        if signed is None or self.owners.get(base, signed.access_key_id) != signed.access_key_id:
            raise _error(403, "AccessDeniedException", "not authorized to perform: bedrock:Retrieve")
        search = recorded.body["retrievalConfiguration"]["vectorSearchConfiguration"]
        if not 1 <= search["numberOfResults"] <= 100 or not recorded.body["retrievalQuery"]["text"].strip():
            raise _error(400, "ValidationException", "a parameter is out of its bounds")
        found = [r for r in self.bases[base] if _matches(search.get("filter"), r.get("metadata", {}))]
        begin = int(recorded.body.get("nextToken", 0))
        end = begin + min(search["numberOfResults"], self.page_size)
        answer: dict[str, Any] = {"retrievalResults": found[begin:end]}
        if end < len(found):
            answer["nextToken"] = str(end)
        return await _whole(request, answer, fault)

    async def _converse(self, request: web.Request) -> web.StreamResponse:
        recorded, fault = await self._begin(request)
        body = recorded.body
        _check_conversation(body)
        pieces = _answer(body)
        limit = body.get("inferenceConfig", {}).get("maxTokens", len(pieces))
        said, reason = pieces[:limit], "max_tokens" if limit < len(pieces) else "end_turn"
        if fault and fault.how == "stall" and fault.pieces < 0:
            await asyncio.Event().wait()
        response = web.StreamResponse(headers={"Content-Type": "application/vnd.amazon.eventstream"})
        await response.prepare(request)
        await response.write(event_stream.event("messageStart", {"role": "assistant"}))
        for number, piece in enumerate(said):
            if (
                fault
                and number == fault.pieces
                and await broke_stream(request, response, fault.how, _broken(fault))
            ):
                return response
            await asyncio.sleep(self.pause_s)
            delta = {"contentBlockIndex": 0, "delta": {"text": piece}}
            await response.write(event_stream.event("contentBlockDelta", delta))
        await response.write(event_stream.event("contentBlockStop", {"contentBlockIndex": 0}))
        await response.write(event_stream.event("messageStop", {"stopReason": reason}))
        if not (fault and fault.how == "no_usage"):
            usage = {"inputTokens": len(json.dumps(body)) // 4, "outputTokens": len(said), "totalTokens": 0}
            await response.write(
                event_stream.event("metadata", {"usage": usage, "metrics": {"latencyMs": 1}})
            )
        return response


@asynccontextmanager
async def serving() -> AsyncIterator[BedrockServer]:
    """A server on a free port of the loopback interface."""
    server = BedrockServer()
    async with served(server.application()) as address:
        server.base_url = address
        yield server


def result(document_id: str | None, text: str, score: float | None, **more: Any) -> dict[str, Any]:
    """A result as Retrieve gives it. ``more`` is metadata, but for ``location``."""
    location = more.pop("location", {"type": "S3", "s3Location": {"uri": f"s3://bucket/{document_id}.txt"}})
    named = {} if document_id is None else {"document_id": document_id}
    found = {"content": {"type": "TEXT", "text": text}, "location": location, "metadata": {**named, **more}}
    return found if score is None else {**found, "score": score}


def _matches(filter: Mapping[str, Any] | None, metadata: Mapping[str, Any]) -> bool:
    """Bedrock's filter language, as far as it is spoken here. A value equals one of its own type only."""
    if filter is None:
        return True
    ((operator, operand),) = filter.items()
    if operator in ("andAll", "orAll"):
        if len(operand) < 2:
            raise _error(400, "ValidationException", f"{operator} needs two filters")
        return (all if operator == "andAll" else any)(_matches(each, metadata) for each in operand)
    held = metadata.get(operand["key"])
    if operator == "equals":
        return _same(held, operand["value"])
    if operator == "in":
        if any(isinstance(value, bool) for value in operand["value"]):
            raise _error(400, "ValidationException", "in takes texts and numbers")
        return any(_same(held, value) for value in operand["value"])
    raise _error(400, "ValidationException", f"no filter {operator}")


def _same(held: object, value: object) -> bool:
    return held is not None and type(held) is type(value) and held == value


def _check_conversation(body: Mapping[str, Any]) -> None:
    """What the service refuses: blank texts, turns that don't alternate, no user's turn at either end."""
    roles = [turn["role"] for turn in body["messages"]]
    texts = [block["text"] for turn in body["messages"] for block in turn["content"]]
    alternating = all(role == ("user", "assistant")[n % 2] for n, role in enumerate(roles))
    if not alternating or len(roles) % 2 == 0 or not all(t.strip() for t in [*texts, *_system(body)]):
        raise _error(400, "ValidationException", "the conversation is not well-formed")


def _system(body: Mapping[str, Any]) -> list[str]:
    return [block["text"] for block in body.get("system", [])]


def _answer(body: Mapping[str, Any]) -> list[str]:
    """The last message word by word, and a mark in three pieces when the prompt holds passages."""
    asked = body["messages"][-1]["content"][-1]["text"]
    said = re.findall(r"\s*\S+", "You asked: " + asked)
    cited = any(re.search(r'<passage n="?1\b', text) for text in [*_system(body), asked])
    return [*said, " [", "1", "]"] if cited else said


def _broken(fault: BedrockFault) -> Mapping[str, bytes]:
    """What is sent in the middle of a stream that breaks."""
    piece = event_stream.event("contentBlockDelta", {"delta": {"text": "x"}})
    wrong_sum = bytearray(piece)
    wrong_sum[-8] ^= 1
    return {
        "garbage": bytes(wrong_sum),
        "wrong_shape": event_stream.event("contentBlockDelta", [1]),
        "error_frame": event_stream.error(fault.code, "as told"),
        # Half of the frame, and a proper end of the body.
        "truncate": piece[:20],
    }


async def _whole(
    request: web.Request, answer: Mapping[str, Any], fault: BedrockFault | None
) -> web.StreamResponse:
    """An answer in one piece, or what the fault makes of it."""
    data = json.dumps(answer).encode()
    if fault and fault.how == "wrong_shape":
        data = b'{"retrievalResults": {"content": 7}}'
    data = await spoiled(request, data, fault.how if fault else None)
    return web.Response(body=data, content_type="application/json")


def _error(status: int, code: str, message: str, retry_after: str | None = None) -> web.HTTPException:
    headers = {"x-amzn-ErrorType": code, **({"Retry-After": retry_after} if retry_after else {})}
    return StatusError(status, json.dumps({"message": message}), headers)
