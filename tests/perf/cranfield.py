"""nDCG@10 on the Cranfield collection through the product's own command line and API."""

import asyncio
import json
import math
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from processes import Server

DATA = Path(__file__).parents[3] / "shared" / "data" / "cranfield"
TENANT, CORPUS, CLIENTS = "cran", "cran", 4


def available() -> bool:
    """Whether the collection lies beside the project."""
    return (DATA / "docs.jsonl").exists()


def ingest(server: Server, folder: Path) -> float:
    """Ingest all abstracts with ``ragwork ingest``; documents per second."""
    # Two abstracts are blank, which nobody may ingest.
    lines = [read for line in (DATA / "docs.jsonl").open() if (read := json.loads(line))["text"].strip()]
    path = folder / "cranfield.jsonl"
    with path.open("w") as file:
        for line in lines:
            file.write(json.dumps({"document_id": line["id"], "text": line["text"]}) + "\n")
    started = time.perf_counter()
    server.command("ingest", "--tenant", TENANT, "--corpus", CORPUS, "--jsonl", str(path))
    return len(lines) / (time.perf_counter() - started)


async def quality(server: Server, key: str) -> tuple[float, float, float]:
    """nDCG@10 with the ends of a 95 % bootstrap interval over the questions."""
    queries = [json.loads(line) for line in (DATA / "queries.jsonl").open()]
    relevant: dict[str, set[str]] = {}
    for line in (DATA / "qrels.tsv").open():
        question, document, _grade = line.split("\t")
        relevant.setdefault(question, set()).add(document)
    headers = {"Authorization": f"Bearer {key}"}
    gate = asyncio.Semaphore(CLIENTS)
    async with aiohttp.ClientSession(server.base, headers=headers) as session:

        async def score(query: dict[str, str]) -> float:
            async with gate:
                return ndcg(await retrieve(session, query["text"]), relevant[query["id"]])

        scores = await asyncio.gather(*(score(query) for query in queries))
    return (statistics.mean(scores), *bootstrap(scores))


async def retrieve(session: aiohttp.ClientSession, text: str) -> list[str]:
    body = {"corpus_id": CORPUS, "query": text, "top_k": 10, "distinct": "document"}
    async with session.post("/v1/retrieve", json=body) as response:
        answer = await response.json()
        assert response.status == 200, answer
        return [passage["document_id"] for passage in answer["data"]["passages"]]


def ndcg(found: Sequence[str], relevant: set[str]) -> float:
    """Binary gain over ten places."""
    gain = sum(1 / math.log2(rank + 2) for rank, document in enumerate(found[:10]) if document in relevant)
    ideal = sum(1 / math.log2(rank + 2) for rank in range(min(10, len(relevant))))
    return gain / ideal


def bootstrap(scores: Sequence[float], rounds: int = 2000) -> tuple[float, float]:
    draw = random.Random(1)  # seeded: the interval is to be reproducible
    means = sorted(statistics.mean(draw.choices(scores, k=len(scores))) for _ in range(rounds))
    return means[int(rounds * 0.025)], means[int(rounds * 0.975)]
