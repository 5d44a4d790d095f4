"""A local server that speaks the reranking formats of Cohere, Jina and Text Embeddings Inference (TEI), and can be told
how to fail. No model behind it: a text's score is the share of the question's words that it holds.
"""

import json
import math
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs
from aiohttp import web

from ragwork_testkit.local_server import StatusError, served, spoiled

KEY: Final = "rerank-test-0123456789"
#: Texts that TEI takes in one request unless it is configured otherwise.
TEI_BATCH: Final = 32
_WORD: Final = re.compile(r"\w+")


@attrs.frozen(kw_only=True)
class RerankFault:
    """How the next request goes wrong: a way of ``spoiled``, ``status``, or ``items`` in place of the scored ones."""

    how: str | None = None
    status: int | None = None
    retry_after: str | None = None
    items: Any = None


class RerankServer:
    """What a test sees: where the server is, what it was asked, and how it shall fail. Each request uses up one of
    ``faults``. ``raw`` gives logits, whatever was asked for.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, Mapping[str, Any]]] = []
        self.faults: deque[RerankFault] = deque()
        self.raw = False

    def fail(self, **fault: Any) -> None:
        """The next request that has no fault yet fails this way."""
        self.faults.append(RerankFault(**fault))

    def application(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        for path in ("/v2/rerank", "/v1/rerank", "/rerank"):
            app.router.add_post(path, self._rerank)
        return app

    async def _rerank(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        self.requests.append((request.path, body))
        fault = self.faults.popleft() if self.faults else RerankFault()
        if fault.status is not None:
            headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
            raise StatusError(fault.status, json.dumps({"message": f"no, {KEY}"}), headers)
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            raise StatusError(401, json.dumps({"message": "invalid api token"}), {})
        name, texts = self._checked(request.path, body)
        items = self._items(body["query"], texts, name) if fault.items is None else fault.items
        answer = items if request.path == "/rerank" else {"id": "1", "results": items, "meta": {}}
        data = await spoiled(request, json.dumps(answer).encode(), fault.how)
        return web.Response(body=data, content_type="application/json")

    def _checked(self, path: str, body: Mapping[str, Any]) -> tuple[str, Sequence[str]]:
        """The name of scores, and the texts. Refuses what the services do."""
        if path == "/rerank":
            texts = body["texts"]
            if len(texts) > TEI_BATCH:
                raise StatusError(422, json.dumps({"error_type": "Validation"}), {})
            return "score", texts
        if not body.get("model"):
            raise StatusError(400, json.dumps({"message": "model is required"}), {})
        texts = body["documents"]
        if not body["query"].strip() or not all(text.strip() for text in texts):
            raise StatusError(400, json.dumps({"message": "empty query or document"}), {})
        return "relevance_score", texts

    def _items(self, question: str, texts: Sequence[str], name: str) -> list[dict[str, object]]:
        """An item for each text, the best first."""
        items: list[dict[str, object]] = [
            {"index": index, name: self._score(question, text)} for index, text in enumerate(texts)
        ]
        return sorted(items, key=lambda item: -float(str(item[name])))

    def _score(self, question: str, text: str) -> float:
        asked, held = (set(_WORD.findall(each.lower())) for each in (question, text))
        share = len(asked & held) / max(1, len(asked))
        bounded = min(0.999, max(0.001, share))
        return math.log(bounded / (1 - bounded)) if self.raw else share


@asynccontextmanager
async def rerank_server() -> AsyncIterator[RerankServer]:
    """The server on a free port, stopped when the block is left."""
    server = RerankServer()
    async with served(server.application()) as server.url:
        yield server
