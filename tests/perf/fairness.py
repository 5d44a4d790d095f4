"""What a busy tenant costs a quiet one: ``python tests/perf/fairness.py [--seconds 60] [kind …]``.

Kinds: ``policies``, ``runs``, ``ingestion``. The quiet tenant does one thing at a time, first alone, then beside
one who asks for more than there is. Load and server share the machine, so a ratio holds the price of the processor
as well as that of the waiting. Prints a line for each kind, then JSON: latencies in milliseconds, rates per second.
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import attrs
from door import client, say
from identity import made
from processes import Server, ragwork

SETTINGS = {
    "LLM_PROVIDER": "fake",
    "FAKE_TOKENS": "31",
    "FAKE_TOKEN_DELAY_MS": "10",  # a run takes about 300 ms
    "EMBEDDING_PROVIDER": "wordllama",
    "AGENT_DECISION_CACHE_S": "0",  # each token is decided on
    "RATE_LIMIT_ENABLED": "false",  # shares are measured, not limits
}
#: About 5 ms of processor time.
POLICY = """package oculus.authz
default allow := false
allow if {
    input.action == "db:read"
    count([x | some x in numbers.range(1, 8000); x % 7 == 0]) > 0
}
"""
WORDS = ("boundary", "layer", "wing", "flutter", "nozzle", "shock", "heat", "pressure", "gradient", "plate")
DOCUMENT_CHARS = 2048
#: Of the time given: starting the server and making what the tenants need; the crowd's gathering, of each kind.
SETUP_S, GATHER_S = 12.0, 1.0
#: Between two looks at a document, or after a refusal.
PAUSE_S = 0.01
REFUSED = (402, 429, 503)

#: One piece of work, to its end; the HTTP status of its answer.
Work: TypeAlias = Callable[[aiohttp.ClientSession], Awaitable[int]]
Count: TypeAlias = Callable[[aiohttp.ClientSession], Awaitable[int]]


@attrs.frozen(kw_only=True)
class Kind:
    """What a tenant does, the busy one with ``clients`` at once.

    ``finished`` counts the busy one's finished work, where an answer doesn't mean that it is.
    """

    quiet: Work
    busy: Work
    clients: int
    finished: Count | None = None


@attrs.define
class Seen:
    """Milliseconds of each piece of work that was done, and how many were refused."""

    took: list[float] = attrs.field(factory=list)
    refused: int = 0

    def p95(self) -> float:
        return sorted(self.took)[int(len(self.took) * 0.95)]


async def repeat(session: aiohttp.ClientSession, work: Work, seen: Seen, seconds: float) -> None:
    """Work for ``seconds``; what is under way then is seen to its end, so that no stall hides there."""
    over = time.perf_counter() + seconds
    while (started := time.perf_counter()) < over:
        if await work(session) in REFUSED:
            seen.refused += 1
            await asyncio.sleep(PAUSE_S)
        else:
            seen.took.append((time.perf_counter() - started) * 1000)


async def run(session: aiohttp.ClientSession) -> int:
    """A run in a session of its own."""
    body = {"session_id": uuid.uuid4().hex, "corpus_id": "c1", "message": "Which gates must a release pass?"}
    async with session.post("/v1/run", json=body) as response:
        text = await response.text()
        assert response.status in REFUSED or '"type":"done"' in text, text[-500:]
        return response.status


async def hand_in(session: aiohttp.ClientSession) -> int:
    """A text that nobody has handed in before, as far as the answer that it is accepted."""
    return (await _handed_in(session))[0]


async def ingest(session: aiohttp.ClientSession) -> int:
    """The same, until it is indexed."""
    status, path = await _handed_in(session)
    while path is not None:
        async with session.get(path) as response:
            document = (await response.json())["data"]
        assert document["status"] != "failed", document
        if document["status"] == "succeeded":
            break
        await asyncio.sleep(PAUSE_S)
    return status


async def _handed_in(session: aiohttp.ClientSession) -> tuple[int, str | None]:
    name = uuid.uuid4().hex
    text = " ".join([name, *random.Random(name).choices(WORDS, k=DOCUMENT_CHARS // 5)])[:DOCUMENT_CHARS]
    body = {"corpus_id": "c1", "document_id": name, "text": text}
    async with session.post("/v1/documents/text", json=body) as response:
        answer = await response.json()
        assert response.status in (202, *REFUSED), answer
        return response.status, answer["data"]["status_url"] if response.status == 202 else None


async def indexed(session: aiohttp.ClientSession) -> int:
    """How many documents of the tenant are indexed."""
    async with session.get("/v1/ops/ingestion") as response:
        return int((await response.json())["data"]["documents"]["succeeded"] or 0)


async def token(session: aiohttp.ClientSession, agent: Mapping[str, str]) -> int:
    """A token, which one policy decides on."""
    form = {
        "grant_type": "client_credentials",
        "client_id": agent["client_id"],
        "client_secret": agent["client_secret"],
        "scope": "db:read",
    }
    async with session.post("/oauth/token", data=form) as response:
        text = await response.text()
        assert response.status in (200, *REFUSED), text
        return response.status


async def tokens(session: aiohttp.ClientSession) -> Work:
    """An agent of the tenant asks."""
    policy = await made(session, "/api/v1/policies", {"name": "slow", "content": POLICY})
    agent = await made(session, "/api/v1/agents", {"name": "bench", "policy_ids": [policy["id"]]})
    return lambda its: token(its, agent)


KINDS = ("policies", "runs", "ingestion")


async def kind_of(name: str, session: aiohttp.ClientSession) -> Kind:
    """The kind as the tenant of ``session`` does it."""
    if name == "policies":
        work = await tokens(session)
        return Kind(quiet=work, busy=work, clients=16)
    if name == "runs":
        return Kind(quiet=run, busy=run, clients=30)  # three for each place
    return Kind(quiet=ingest, busy=hand_in, clients=25, finished=indexed)


@attrs.define
class Crowd:
    """The busy tenant's clients, in a process of their own: what they wait for is no part of the quiet one's times."""

    pipe: Any

    @classmethod
    @contextmanager
    def at_work(cls, name: str, server: Server, key: str) -> Iterator["Crowd"]:
        here, there = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=crowd, args=(name, server, key, there))
        process.start()
        there.close()  # so that a crowd that fails ends the reading here
        made = cls(here)
        try:
            made.counts()  # once it is at work
            yield made
        finally:
            here.close()
            process.join(10)
            process.kill()

    def counts(self) -> tuple[int, int, int]:
        """Answered, refused and finished so far."""
        self.pipe.send(True)
        answered, refused, finished = self.pipe.recv()
        return int(answered), int(refused), int(finished)


def crowd(name: str, server: Server, key: str, pipe: Any) -> None:
    asyncio.run(_crowd(name, server, key, pipe))


def _is_asked(pipe: Any) -> bool:
    """Wait for the next question; false once nobody will ask."""
    try:
        return bool(pipe.recv())
    except EOFError:
        return False


async def _crowd(name: str, server: Server, key: str, pipe: Any) -> None:
    seen = Seen()
    async with client(server, key) as session:
        kind = await kind_of(name, session)
        clients = [repeat(session, kind.busy, seen, float("inf")) for _ in range(kind.clients)]
        tasks = [asyncio.create_task(one) for one in clients]
        await asyncio.sleep(GATHER_S)
        while await asyncio.to_thread(_is_asked, pipe):
            ended = [task for task in tasks if task.done()]
            assert not ended, ended[0].exception()
            finished = await kind.finished(session) if kind.finished else len(seen.took)
            pipe.send((len(seen.took), seen.refused, finished))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def measure(name: str, server: Server, keys: Mapping[str, str], seconds: float) -> dict[str, object]:
    """One kind in ``seconds``: half of them alone, half beside the crowd."""
    alone, beside, warm = Seen(), Seen(), Seen()
    part = (seconds - 2 * GATHER_S) / 2
    async with client(server, keys["quiet"]) as quiet:
        kind = await kind_of(name, quiet)
        await repeat(quiet, kind.quiet, warm, GATHER_S)
        await repeat(quiet, kind.quiet, alone, part)
        with Crowd.at_work(name, server, keys["busy"]) as many:
            before, since = many.counts(), time.perf_counter()
            await repeat(quiet, kind.quiet, beside, part)
            after, took = many.counts(), time.perf_counter() - since
    answered, refused, finished = (late - early for early, late in zip(before, after, strict=True))
    return {
        "quiet_done": [len(alone.took), len(beside.took)],
        "quiet_p50_ms": [round(statistics.median(seen.took), 1) for seen in (alone, beside)],
        "quiet_p95_ms": [round(seen.p95(), 1) for seen in (alone, beside)],
        "p95_ratio": round(beside.p95() / alone.p95(), 2),
        "quiet_refused": warm.refused + alone.refused + beside.refused,
        "busy_answered_per_s": round(answered / took, 1),
        "busy_finished_per_s": round(finished / took, 1),
        "busy_refused_per_s": round(refused / took, 1),
    }


def show(name: str, found: Mapping[str, object]) -> None:
    alone, beside = found["quiet_p95_ms"]  # type: ignore[misc]
    figure = f"{found['p95_ratio']} ({alone} to {beside} ms), {found['quiet_refused']} refused"
    say(f"{name}: p95 beside a busy tenant ÷ alone", figure, "<= 2, 0 refused")
    say(f"{name}: of the busy tenant, finished", f"{found['busy_finished_per_s']} per s", "-")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="kind", help=" ".join(KINDS))
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    wanted = options.kinds or KINDS
    each = max((options.seconds - SETUP_S) / len(wanted), 4 * GATHER_S)
    found: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as folder, ragwork(Path(folder) / "d", **SETTINGS) as server:
        for tenant in ("quiet", "busy"):
            server.command("seed", "--tenant", tenant)
        keys = {tenant: server.key(tenant) for tenant in ("quiet", "busy")}
        for name in wanted:
            found[name] = asyncio.run(measure(name, server, keys, each))
            show(name, found[name])
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
