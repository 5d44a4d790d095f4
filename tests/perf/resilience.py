"""What guarding providers costs, and what it saves: ``python tests/perf/resilience.py``.

In process: the overhead of a guarded call and of a guarded stream, and the price of a dead provider.
Over HTTP: how far 50 slow runs on one provider move the runs on another.
"""

import asyncio
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

import aiohttp
import load
import uvloop
from processes import Server, ragwork
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.llm import ChatRequest, Delta, Usage
from ragwork_kernel.base.telemetry import Telemetry
from ragwork_memory.state import InMemoryState
from ragwork_resilience.breaker import Breaker, Circuits
from ragwork_resilience.config import ResilienceConfig
from ragwork_resilience.guard import Guard
from ragwork_resilience.guarded_providers import GuardedEmbedder, GuardedModel
from ragwork_testkit import openai_server, tcpproxy
from ragwork_toolkit.background import BackgroundTasks

from ragwork import DEFAULT_PLUGINS

CALLS = 5000
DELTAS = 40
SLOW_RUNS = 50
ROUNDS = 5
RUNS = 150
#: Longer than any round: a slow run waits through all of it, so what moves is not the cost of its end.
SLOW_S = 300.0
PLUGINS = tuple(dict.fromkeys((*DEFAULT_PLUGINS, "resilience")))
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
    config, state, metrics = ResilienceConfig(), InMemoryState(), Telemetry("bench")
    circuits = Circuits(
        lambda account: Breaker(
            state,
            "cb",
            f"bench:{account}",
            config.breaker("embedding", "bench"),
            time.monotonic,
            lambda _: None,
            lambda _: None,
        )
    )
    places = metrics.shares.make("bench", config.provider_concurrency, waiting=640)
    return Guard("bench", config.policy("embedding", "bench"), circuits, metrics, places, BackgroundTasks())


async def timed(call: Callable[[], Awaitable[object]], count: int = CALLS) -> tuple[float, float]:
    """p50 and p99 of ``count`` calls, in milliseconds."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        with suppress(ProviderError):
            await call()
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
    say("breaker and shared places, added to a call, p50", f"{statistics.median(added):.3f} ms", "0.1 ms")
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
    """p95 of runs on a fast provider, alone and beside 50 runs on a slow one, in turn."""
    async with openai_server.serving() as far, tcpproxy.between(far.base_url) as net:
        net.latency_s = SLOW_S
        settings = {
            "LLM_PROVIDER": "fake",
            "EMBEDDING_PROVIDER": "wordllama",
            "RUN_MAX_CONCURRENCY": str(SLOW_RUNS + 10),
            "RATE_LIMIT_ENABLED": "false",  # one key asks as fast as it can
            "OPENAI_API_KEY": openai_server.KEY,
            "OPENAI_BASE_URL": net.url,
            # Slow it shall stay: without this, timeouts would open its circuit and make it fast.
            "TIMEOUT_OPENAI_SECONDS": str(2 * SLOW_S),
            "OPENAI_TIMEOUT_S": str(2 * SLOW_S),
            "RAGWORK_PLUGINS": ",".join(PLUGINS),
        }
        async with served(folder, settings) as server:
            await asyncio.to_thread(server.command, "seed", "--tenant", "t1")
            key = await asyncio.to_thread(server.key, "t1")
            await make_slow_corpus(server.base, key)
            alone, beside = [], []
            for _ in range(ROUNDS):
                alone.append((await load.measure(server.base, key, load.RUN, 1, RUNS)).p95)
                async with slow_runs(server.base, key, net):
                    beside.append((await load.measure(server.base, key, load.RUN, 1, RUNS)).p95)
    moved = statistics.median(b / a - 1 for a, b in zip(alone, beside, strict=True))
    say(
        f"p95 of runs beside {SLOW_RUNS} slow ones on another provider",
        f"{moved:+.0%} ({statistics.median(alone):.1f} to {statistics.median(beside):.1f} ms)",
        "+10 %",
    )


@asynccontextmanager
async def served(folder: Path, settings: dict[str, str]) -> AsyncIterator[Server]:
    """A server process; starting and stopping it does not block the loop that plays the slow provider."""
    process = ragwork(folder, **settings)
    server = await asyncio.to_thread(process.__enter__)
    try:
        yield server
    finally:
        await asyncio.to_thread(process.__exit__, None, None, None)


async def make_slow_corpus(base: str, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    corpus = {
        "id": "slow",
        "name": "slow",
        "provider_config_json": {"retrieval": {"provider": "local_pgvector", "embedder": "openai"}},
    }
    async with aiohttp.ClientSession(base, headers=headers) as session:
        async with session.post("/v1/corpora", json=corpus) as response:
            assert response.status == 201, await response.text()


@asynccontextmanager
async def slow_runs(base: str, key: str, net: tcpproxy.Proxy) -> AsyncIterator[None]:
    """``SLOW_RUNS`` runs that wait for their provider, each of them all the time."""
    connector = aiohttp.TCPConnector(limit=0)
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(base, headers=headers, connector=connector) as session:

        async def wait() -> None:
            body = {"session_id": uuid.uuid4().hex, "corpus_id": "slow", "message": "Slow?"}
            async with session.post("/v1/run", json=body) as response:
                assert response.status == 200, await response.text()
                await response.read()

        before = net.accepted
        tasks = [asyncio.create_task(wait()) for _ in range(SLOW_RUNS)]
        async with asyncio.timeout(30):
            while net.accepted - before < SLOW_RUNS:  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.05)
        yield
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not ended, f"{len(ended)} slow runs ended: they were not slow"


def say(what: str, figure: str, limit: str) -> None:
    print(f"{what:<62} {figure:<34} limit {limit}", flush=True)


def main() -> None:
    """All figures, or with the argument ``calls`` those that need no server."""
    uvloop.run(overhead())
    if sys.argv[1:] != ["calls"]:
        with tempfile.TemporaryDirectory() as folder:
            uvloop.run(neighbours(Path(folder)))


if __name__ == "__main__":
    main()
