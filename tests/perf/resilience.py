"""What guarding providers costs, and what it saves: ``python tests/perf/resilience.py``.

In process: the overhead of a guarded call and of a guarded stream, and the price of a dead provider.
Over HTTP: how far 50 slow runs on one provider move the runs on another.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal

import aiohttp
import load
import uvloop
from processes import ragwork
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.llm import ChatRequest, Delta, Usage
from ragwork_kernel.state import LocalState
from ragwork_kernel.telemetry import Telemetry
from ragwork_resilience.breaker import Breaker, Circuits
from ragwork_resilience.config import ResilienceConfig
from ragwork_resilience.guard import Guard
from ragwork_resilience.wraps import GuardedEmbedder, GuardedModel
from ragwork_testkit import openai_server, tcpproxy

CALLS = 5000
DELTAS = 40
SLOW_RUNS = 50
ROUNDS = 5
RUNS = 60
ASK = ChatRequest(messages=(), passages=(), question="?")


class Instant:
    """A provider that answers at once, or is dead."""

    name = "instant"
    dimension = 1
    dead = False

    async def embed(
        self, texts: Sequence[str], purpose: Literal["query", "document"]
    ) -> Sequence[Sequence[float]]:
        if self.dead:
            raise ProviderError("INTEGRATION_UNAVAILABLE", "dead", retryable=True)
        return [[1.0] for _ in texts]

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        for _ in range(DELTAS - 1):
            yield Delta(text="x")
        yield Delta(usage=Usage(input_tokens=1, output_tokens=DELTAS))

    async def aclose(self) -> None:
        """Nothing to release."""


def guard() -> Guard:
    config, state, metrics = ResilienceConfig(), LocalState(), Telemetry("bench")
    circuits = Circuits(
        lambda account: Breaker(
            state, "cb", f"bench:{account}", config.breaker("bench"), time.monotonic, lambda _: None
        )
    )
    return Guard("bench", config.policy("bench"), circuits, metrics)


async def timed(call: Callable[[], Awaitable[object]], count: int = CALLS) -> tuple[float, float]:
    """p50 and p99 of ``count`` calls, in milliseconds."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        try:
            await call()
        except ProviderError:
            pass
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return statistics.median(took), took[int(count * 0.99)]


async def drained(model: Instant | GuardedModel) -> None:
    async for _ in model.stream(ASK):
        pass


async def overhead() -> None:
    bare = Instant()
    embedder, model = GuardedEmbedder(bare, guard()), GuardedModel(bare, guard())
    texts = ("x",)
    added = []
    for _ in range(ROUNDS):
        alone, _p99 = await timed(lambda: bare.embed(texts, "query"))
        guarded, _p99 = await timed(lambda: embedder.embed(texts, "query"))
        added.append(guarded - alone)
    say("breaker and bulkhead, added to a call, p50", f"{statistics.median(added):.3f} ms", "0.1 ms")
    added = []
    for _ in range(ROUNDS):
        alone, _p99 = await timed(lambda: drained(bare), CALLS // 10)
        guarded, _p99 = await timed(lambda: drained(model), CALLS // 10)
        added.append(guarded - alone)
    say(f"the same, to a stream of {DELTAS} deltas, p50", f"{statistics.median(added):.3f} ms", "0.1 ms")
    bare.dead = True
    for _ in range(5):
        await timed(lambda: embedder.embed(texts, "query"), 1)
    p50, p99 = await timed(lambda: embedder.embed(texts, "query"))
    say("a dead provider, circuit open, p50 / p99", f"{p50:.3f} / {p99:.3f} ms", "5 ms")


async def neighbours(folder: Path) -> None:
    """p95 of runs on a fast provider, alone and beside 50 runs on a slow one; paired rounds."""
    async with openai_server.serving() as far, tcpproxy.between(far.base_url) as net:
        net.latency_s = 2.0
        settings = {
            "LLM_PROVIDER": "fake",
            "EMBEDDING_PROVIDER": "wordllama",
            "RUN_MAX_CONCURRENCY": "80",
            "OPENAI_API_KEY": openai_server.KEY,
            "OPENAI_BASE_URL": net.url,
        }
        with await asyncio.to_thread(ragwork(folder, **settings).__enter__) as server:
            pass
