"""A closed-loop client: c workers, n requests after a warm-up, every answer checked."""

import asyncio
import json
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable

import aiohttp
import attrs


@attrs.frozen(kw_only=True)
class Sample:
    """Throughput per second; latencies and first-token times in milliseconds."""

    rps: float
    p50: float
    p95: float
    first_token_p50: float | None = None


Shot = Callable[[aiohttp.ClientSession], Awaitable[float | None]]


async def measure(base: str, key: str, shot: Shot, clients: int, count: int) -> Sample:
    """``count`` shots over ``clients`` workers after a tenth as warm-up."""
    headers = {"Authorization": f"Bearer {key}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(base, headers=headers, connector=connector) as session:
        await _loop(session, shot, clients, max(clients, count // 10))
        started = time.perf_counter()
        latencies, firsts = await _loop(session, shot, clients, count)
        seconds = time.perf_counter() - started
    return Sample(
        rps=count / seconds,
        p50=statistics.median(latencies) * 1000,
        p95=sorted(latencies)[int(len(latencies) * 0.95)] * 1000,
        first_token_p50=statistics.median(firsts) * 1000 if firsts else None,
    )


async def _loop(
    session: aiohttp.ClientSession, shot: Shot, clients: int, count: int
) -> tuple[list[float], list[float]]:
    latencies: list[float] = []
    firsts: list[float] = []
    numbers = iter(range(count))

    async def worker() -> None:
        for _ in numbers:
            started = time.perf_counter()
            first = await shot(session)
            latencies.append(time.perf_counter() - started)
            if first is not None:
                firsts.append(first - started)

    await asyncio.gather(*(worker() for _ in range(clients)))
    return latencies, firsts


async def corpora(session: aiohttp.ClientSession) -> None:
    """GET /v1/corpora with one corpus in the answer."""
    async with session.get("/v1/corpora") as response:
        answer = json.loads(await response.read())
        assert response.status == 200, answer
        assert answer["data"][0]["id"] == "c1"


async def run(session: aiohttp.ClientSession) -> float | None:
    """POST /v1/run in a session of its own; the moment of the first token."""
    body = {
        "session_id": uuid.uuid4().hex,
        "corpus_id": "c1",
        "message": "Which gates must a release of Agent 2.0 pass?",
    }
    first: float | None = None
    last = ""
    async with session.post("/v1/run", json=body) as response:
        assert response.status == 200, await response.text()
        async for line in response.content:
            if not line.startswith(b"data:"):
                continue
            payload = json.loads(line[5:])
            last = payload.get("type", last)
            assert last != "error", payload
            if last == "token.delta" and first is None:
                first = time.perf_counter()
    assert last == "done", last
    return first
