"""The loads that reports and gates are made of. What clients ask is drawn from seeds: every run asks the same."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

import aiohttp
import attrs
from perf_report import percentile
from processes import Server
from workload import CORPUS, TIMEOUT_S, Caller, Observation

Act = Callable[[Caller], Awaitable[None]]
QUIET, BUSY = "t1", "t2"
MIXED: Final = ((0.5, Caller.run), (0.35, Caller.read), (0.1, Caller.mutate), (0.05, Caller.ops))
READING: Final = ((0.1, Caller.run), (0.9, Caller.read))
ADMINISTERING: Final = ((1.0, Caller.ops),)
#: Documents of a burst, and how many clients hand them in.
BURST, SENDERS = 200, 4


@attrs.frozen
class Site:
    """A server with the keys of its tenants."""

    server: Server
    keys: Mapping[str, str]

    @contextlib.asynccontextmanager
    async def callers(self, tenant: str, count: int) -> AsyncIterator[Sequence[Caller]]:
        """So many clients of the tenant, each with what it sees."""
        async with aiohttp.ClientSession(
            self.server.base,
            headers={"Authorization": f"Bearer {self.keys[tenant]}"},
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        ) as session:
            yield [Caller(session=session, seed=f"{tenant} {number}") for number in range(count)]


@attrs.frozen
class Ended:
    """What was seen, and what else the scenario measured."""

    seen: Sequence[Observation]
    extra: Mapping[str, float] = attrs.field(factory=dict)


async def run_mixed(site: Site, seconds: float) -> Ended:
    """Runs, reads, documents and a look at the state of things, as on an ordinary day."""
    async with site.callers(QUIET, 8) as callers:
        before = site.server.rss_mb()
        await _together(callers, MIXED, seconds)
        return Ended(_seen(callers), {"memory_growth_mb": site.server.rss_mb() - before})


async def run_read_heavy(site: Site, seconds: float) -> Ended:
    """Pages that are looked at."""
    async with site.callers(QUIET, 8) as callers:
        await _together(callers, READING, seconds)
        return Ended(_seen(callers))


async def ingest_burst(site: Site, seconds: float) -> Ended:
    """Many documents at once while people ask; ends when all are searchable, however long that takes."""
    async with site.callers(QUIET, SENDERS) as senders, site.callers(QUIET, 2) as asking:
        left = iter(range(BURST))

        async def send(caller: Caller) -> None:
            for _ in left:
                await caller.mutate()

        await asyncio.gather(*map(send, senders), _together(asking, MIXED[:2], seconds))
        waits = await _queue_waits(senders[0].session)
        return Ended(_seen([*senders, *asking]), {"ingest_queue_wait_p95_ms": percentile(waits, 0.95) or 0.0})


async def multi_tenant_noisy_neighbor(site: Site, seconds: float) -> Ended:
    """One tenant asks for all there is; what another one, who asks for little, gets."""
    async with site.callers(QUIET, 1) as quiet, site.callers(BUSY, 16) as busy:
        await asyncio.gather(
            _together(quiet, MIXED[:2], seconds), _together(busy, ((1.0, Caller.run),), seconds)
        )
        answered = [each for each in quiet[0].seen if each.outcome == "ok"]
        return Ended(
            quiet[0].seen,
            {
                "noisy_neighbor_success_ratio": len(answered) / max(len(quiet[0].seen), 1),
                "noisy_neighbor_requests": len(_seen(busy)),
            },
        )


async def ops_admin_spike(site: Site, seconds: float) -> Ended:
    """Everybody looks at the dashboards while people ask."""
    async with site.callers(QUIET, 2) as asking, site.callers(QUIET, 6) as looking:
        await asyncio.gather(
            _together(asking, MIXED[:1], seconds), _together(looking, ADMINISTERING, seconds)
        )
        return Ended(_seen([*asking, *looking]))


async def saturation(site: Site, seconds: float) -> Ended:
    """One kind of request at a time, as fast as it is answered; how many a second, and documents until searchable."""
    seen: list[Observation] = []
    extra: dict[str, float] = {}
    for kind, act in (
        ("run", Caller.run),
        ("read", Caller.read),
        ("ops", Caller.ops),
        ("mutation", Caller.mutate),
    ):
        async with site.callers(QUIET, 8) as callers:
            await _together(callers, ((1.0, act),), seconds / 4)
            made = _seen(callers)
            extra[f"{kind}_rps"] = len(made) / (seconds / 4)
            seen += made
            if kind == "mutation":
                started = time.monotonic()
                await _queue_waits(callers[0].session)
                extra["documents_per_s"] = len(made) / (seconds / 4 + time.monotonic() - started)
    return Ended(seen, extra)


#: By name.
SCENARIOS: Final[Mapping[str, Callable[[Site, float], Awaitable[Ended]]]] = MappingProxyType(
    {
        "run_mixed": run_mixed,
        "run_read_heavy": run_read_heavy,
        "ingest_burst": ingest_burst,
        "multi_tenant_noisy_neighbor": multi_tenant_noisy_neighbor,
        "ops_admin_spike": ops_admin_spike,
        "saturation": saturation,
    }
)


async def _together(callers: Sequence[Caller], mix: Sequence[tuple[float, Act]], seconds: float) -> None:
    until = time.monotonic() + seconds

    async def work(caller: Caller) -> None:
        while time.monotonic() < until:
            await caller.any_of(mix)

    await asyncio.gather(*map(work, callers))


def _seen(callers: Sequence[Caller]) -> list[Observation]:
    return [each for caller in callers for each in caller.seen]


async def _queue_waits(session: aiohttp.ClientSession) -> list[float]:
    """Milliseconds that each of the newest documents waited for its turn, once none is unfinished."""
    query = {"corpus_id": CORPUS, "limit": BURST}
    while True:
        async with session.get("/v1/documents", params=query) as response:
            listed = (await response.json())["data"]
        if all(document["status"] in ("succeeded", "failed") for document in listed):
            break
        await asyncio.sleep(0.1)
    began = [d for d in listed if d["queued_at"] and d["processing_started_at"]]
    return [
        (
            datetime.fromisoformat(d["processing_started_at"]) - datetime.fromisoformat(d["queued_at"])
        ).total_seconds()
        * 1000
        for d in began
    ]
