"""Ingestion as a client does it that has documents one at a time: over HTTP, until all can be found."""

import asyncio
import random
import time

import aiohttp
import load
from processes import Server

DOCUMENTS, CHARACTERS, CORPUS = 200, 2_000, "c1"
LISTING = load.Shot(method="GET", path="/v1/documents?limit=100", holds=b'"next_attempt_at"')
WORDS = (
    "gate",
    "release",
    "agent",
    "evidence",
    "reviewer",
    "branch",
    "tower",
    "granite",
    "tide",
    "harbour",
    "valve",
)


def text(number: int) -> str:
    draw = random.Random(number)
    words: list[str] = []
    while sum(map(len, words)) + len(words) < CHARACTERS:
        words.append(draw.choice(WORDS) if len(words) % 12 else f"Section {number}.{len(words)}.")
    return " ".join(words)


async def ingest(server: Server, key: str) -> float:
    """Documents per second."""
    async with aiohttp.ClientSession(server.base, headers={"Authorization": f"Bearer {key}"}) as session:
        started = time.perf_counter()
        for number in range(DOCUMENTS):
            body = {"corpus_id": CORPUS, "document_id": f"one-{number}", "text": text(number)}
            async with session.post("/v1/documents/text", json=body) as response:
                assert response.status == 202, await response.text()
        while await _unfinished(session):  # noqa: ASYNC110  # another process is waited for
            await asyncio.sleep(0.1)
        return DOCUMENTS / (time.perf_counter() - started)


async def _unfinished(session: aiohttp.ClientSession) -> bool:
    async with session.get("/v1/documents", params={"limit": DOCUMENTS}) as response:
        listed = (await response.json())["data"]
    assert not [document for document in listed if document["status"] == "failed"]
    return sum(document["status"] == "succeeded" for document in listed) < DOCUMENTS
