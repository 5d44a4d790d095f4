"""Measures an embedding provider: ``python -m ragwork_testkit.embedding_bench minilm [documents.jsonl]``.

Prints load time and memory, single query latency, documents per second, and then the query latency and
the longest event loop stall while documents are being embedded. Each line of the file is an object with
a ``text``; without a file the documents are made up.
"""

import asyncio
import json
import os
import random
import statistics
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.retrieval import Embedder
from ragwork_hooks.services import Services

from ragwork_testkit.services import ProviderServices

QUERY = "what similarity laws must be obeyed when constructing aeroelastic models"
WORDS = ("wing", "flow", "heat", "pressure", "layer", "shock", "the", "of", "in", "supersonic", "plate", "is")


def documents(path: str | None) -> list[str]:
    if path is None:
        draw = random.Random(7)
        return [" ".join(draw.choices(WORDS, k=170)) for _ in range(400)]
    texts = [json.loads(line)["text"] for line in Path(path).read_text().splitlines()]
    return [text for text in texts if text]


def resident() -> float:
    """Resident memory of this process in MB, from Linux's accounting."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def timed(embedder: Embedder, times: int, pause: float) -> list[float]:
    found = []
    for _ in range(times):
        start = time.perf_counter()
        await embedder.embed([QUERY], "query")
        found.append((time.perf_counter() - start) * 1e3)
        await asyncio.sleep(pause)
    return sorted(found)


async def stalls(until: asyncio.Event) -> float:
    worst = 0.0
    while not until.is_set():
        start = time.perf_counter()
        await asyncio.sleep(0.001)
        worst = max(worst, (time.perf_counter() - start) * 1e3 - 1.0)
    return worst


def say(label: str, figures: list[float]) -> None:
    p50, p95 = statistics.median(figures), figures[int(len(figures) * 0.95)]
    print(f"{label}: p50 {p50:.2f} ms, p95 {p95:.2f} ms, max {figures[-1]:.2f} ms")


async def main(name: str, path: str | None) -> None:
    texts = documents(path)
    before, start = resident(), time.perf_counter()
    (entry,) = entry_points(group="ragwork.embedding", name=name)
    provider = cast("Provider[Embedder]", entry.load())
    (plugin,) = entry_points(group="ragwork.plugins", name=name)
    config = plugin.load().ragwork_info().config
    imported = time.perf_counter()
    context = ProviderContext(services=cast("Services", ProviderServices()), config=config and config())
    embedder = await provider.open(context)
    print(f"import {imported - start:.3f} s, open {time.perf_counter() - imported:.3f} s", end=", ")
    print(f"resident +{resident() - before:.0f} MB = {resident():.0f} MB")
    await timed(embedder, 20, 0)
    say("query, idle", await timed(embedder, 200, 0))
    done = asyncio.Event()
    watch = asyncio.create_task(stalls(done))
    start = time.perf_counter()
    await embedder.embed(texts, "document")
    print(
        f"documents: {len(texts) / (time.perf_counter() - start):.1f} texts/s, {len(texts)} texts", end=", "
    )
    done.set()
    print(f"longest stall {await watch:.1f} ms")
    bulk = asyncio.create_task(embedder.embed(texts * 4, "document"))
    await asyncio.sleep(0.2)
    say("query, while documents run", await timed(embedder, 200, 0.02))
    print(f"documents still running: {not bulk.done()}, resident {resident():.0f} MB")
    bulk.cancel()
    await asyncio.gather(bulk, return_exceptions=True)
    await embedder.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))
