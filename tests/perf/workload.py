"""What the clients of a scenario do, and what is seen of each request."""

import json
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, TypeAlias

import aiohttp
import attrs

RouteClass: TypeAlias = Literal["run", "read", "mutation", "ops"]
#: ``shed`` is a refusal for want of places, ``error`` what nobody foresees.
Outcome: TypeAlias = Literal["ok", "error", "timeout", "shed", "rate_limited", "quota"]
CORPUS: Final = "c1"
TIMEOUT_S: Final = 30.0
READS: Final = ("/v1/corpora", "/v1/documents?limit=50", "/v1/sessions")
OPS: Final = ("/v1/ops/health", "/v1/ops/ingestion", "/v1/ops/metrics")
QUESTIONS: Final = (
    "Which gates must a release of Agent 2.0 pass?",
    "Who may roll a release back, and how?",
    "What does the regression suite cover?",
    "When is a canary stopped?",
)
_REFUSALS: Final[dict[str, Outcome]] = {
    "RATE_LIMITED": "rate_limited",
    "QUOTA_EXCEEDED": "quota",
    "SERVICE_BUSY": "shed",
    "SERVICE_UNAVAILABLE": "shed",
}


@attrs.frozen(kw_only=True)
class Observation:
    """One request as its client saw it. ``degraded`` is a run that was answered with less than asked for."""

    route_class: RouteClass
    outcome: Outcome
    ms: float
    first_token_ms: float | None = None
    disconnected: bool = False
    degraded: bool = False


@attrs.define(kw_only=True)
class Caller:
    """A client of one tenant: one request after the other, drawn from ``seed``."""

    session: aiohttp.ClientSession
    seed: str
    seen: list[Observation] = attrs.field(factory=list)
    _draw: random.Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._draw = random.Random(self.seed)

    async def run(self) -> None:
        """A question in a session of its own, to the end of its stream."""
        body = {
            "session_id": uuid.uuid4().hex,
            "corpus_id": CORPUS,
            "message": self._draw.choice(QUESTIONS),
        }
        started = time.perf_counter()
        try:
            async with self.session.post("/v1/run", json=body) as response:
                if response.status != 200:
                    self._refused("run", started, response.status, await response.read())
                else:
                    await self._stream(response, started)
        except TimeoutError:
            self._note("run", "timeout", started)
        except aiohttp.ClientError:
            self._note("run", "error", started, disconnected=True)

    async def read(self) -> None:
        await self._request("read", "GET", self._draw.choice(READS))

    async def mutate(self) -> None:
        """A small document, new each time."""
        text = " ".join(self._draw.choices(" ".join(QUESTIONS).split(), k=200))
        body = {"document_id": uuid.uuid4().hex, "corpus_id": CORPUS, "text": text}
        await self._request("mutation", "POST", "/v1/documents/text", body)

    async def ops(self) -> None:
        await self._request("ops", "GET", self._draw.choice(OPS))

    async def any_of(self, mix: Sequence[tuple[float, Callable[["Caller"], Awaitable[None]]]]) -> None:
        """One of ``mix``, each with its weight."""
        (act,) = self._draw.choices([act for _, act in mix], [weight for weight, _ in mix])
        await act(self)

    async def _request(
        self, route_class: RouteClass, method: str, path: str, body: object | None = None
    ) -> None:
        started = time.perf_counter()
        try:
            async with self.session.request(method, path, json=body) as response:
                answer = await response.read()
                if response.status < 400:
                    self._note(route_class, "ok", started)
                else:
                    self._refused(route_class, started, response.status, answer)
        except TimeoutError:
            self._note(route_class, "timeout", started)
        except aiohttp.ClientError:
            self._note(route_class, "error", started, disconnected=True)

    async def _stream(self, response: aiohttp.ClientResponse, started: float) -> None:
        first: float | None = None
        kind, code, degraded = "", None, False
        async for line in response.content:
            if not line.startswith(b"data:"):
                continue
            payload = json.loads(line[5:])
            kind = payload.get("type", "heartbeat")
            if kind == "token.delta" and first is None:
                first = (time.perf_counter() - started) * 1000
            code = payload["data"]["code"] if kind == "error" else code
            degraded = degraded or kind.endswith(".degraded")
        outcome: Outcome = "ok" if code is None and kind == "done" else _REFUSALS.get(str(code), "error")
        self._note(
            "run", outcome, started, first_token_ms=first, disconnected=kind != "done", degraded=degraded
        )

    def _refused(self, route_class: RouteClass, started: float, status: int, answer: bytes) -> None:
        try:
            code = str(json.loads(answer)["error"]["code"])
        except (ValueError, KeyError, TypeError):
            code = str(status)
        self._note(route_class, _REFUSALS.get(code, "error"), started)

    def _note(
        self,
        route_class: RouteClass,
        outcome: Outcome,
        started: float,
        *,
        first_token_ms: float | None = None,
        disconnected: bool = False,
        degraded: bool = False,
    ) -> None:
        self.seen.append(
            Observation(
                route_class=route_class,
                outcome=outcome,
                ms=(time.perf_counter() - started) * 1000,
                first_token_ms=first_token_ms,
                disconnected=disconnected,
                degraded=degraded,
            )
        )
