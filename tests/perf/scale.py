"""100,000 chunks over 50 tenants, of which a caller may read 1 %: recall against exact, and latency.

What is exact is asked of a tenant that holds only the readable documents: rights are part of the ranking,
so both must answer alike.
"""

import asyncio
import json
import os
import random
import subprocess
import time
from pathlib import Path

import aiohttp
from processes import RAGWORK, Server, ragwork

TENANTS, DOCUMENTS, READABLE, QUERIES = 50, 2000, 20, 200
WORDS = [
    "boundary",
    "layer",
    "wing",
    "flutter",
    "supersonic",
    "nozzle",
    "shock",
    "heat",
    "transfer",
    "pressure",
    "gradient",
    "cylinder",
    "plate",
    "lift",
    "drag",
    "vortex",
    "laminar",
    "turbulent",
    "compressible",
    "panel",
    "buckling",
    "stability",
    "rotor",
    "blade",
    "jet",
    "mixing",
    "slender",
    "body",
    "cone",
    "hypersonic",
    "ablation",
    "orbit",
    "satellite",
    "fuel",
    "tank",
    "vibration",
    "fatigue",
    "creep",
    "shell",
    "stress",
    "strain",
    "membrane",
    "theory",
]


def measure(folder: Path) -> None:
    """Fill, ask, compare; then ask again while another tenant ingests."""
    with ragwork(folder / "scale", EMBEDDING_PROVIDER="wordllama", LLM_PROVIDER="fake") as server:
        rate = _fill(server, folder)
        print(f"filled {TENANTS * DOCUMENTS} chunks at {rate:.0f} docs/s", flush=True)
        questions = [" ".join(_draw(f"q{n}").choices(WORDS, k=6)) for n in range(QUERIES)]
        keys = server.key("t0", "reader", "somebody"), server.key("exact", "reader", "somebody")
        quiet, recall = asyncio.run(_ask(server, keys, questions))
        print(
            f"{'100,000 chunks, 50 tenants, 1 % readable: recall@10':<62} {recall:.3f}   floor 0.95  aim 0.99"
        )
        print(f"{'the same: p95 of POST /v1/retrieve':<62} {quiet:.1f} ms   floor 80 ms  aim 30 ms")
        busy = _while_ingesting(server, folder, keys, questions)
        change = (busy / quiet - 1) * 100
        print(
            f"{'the same while another tenant ingests':<62} {busy:.1f} ms ({change:+.0f} %)   floor +20 %  aim +10 %"
        )


def _draw(seed: str) -> random.Random:
    return random.Random(seed)  # seeded: every run fills the same


def _text(seed: str) -> str:
    return " ".join(_draw(seed).choices(WORDS, k=90))


def _write(path: Path, names: list[str]) -> Path:
    with path.open("w") as file:
        for name in names:
            file.write(json.dumps({"document_id": name.replace("/", "-"), "text": _text(name)}) + "\n")
    return path


def _ingest(server: Server, tenant: str, path: Path, readers: str) -> None:
    server.command("ingest", "--tenant", tenant, "--corpus", "c", "--jsonl", str(path), "--readers", readers)


def _fill(server: Server, folder: Path) -> float:
    started = time.perf_counter()
    readable = _write(folder / "readable.jsonl", [f"r/{n}" for n in range(READABLE)])
    for tenant in range(TENANTS):
        rest = [f"t{tenant}/{n}" for n in range(DOCUMENTS - READABLE)]
        _ingest(server, f"t{tenant}", _write(folder / "rest.jsonl", rest), "owner")
        _ingest(server, f"t{tenant}", readable, "tenant")
    rate = TENANTS * DOCUMENTS / (time.perf_counter() - started)
    _ingest(server, "exact", readable, "tenant")
    return rate


async def _ask(server: Server, keys: tuple[str, str], questions: list[str]) -> tuple[float, float]:
    """p95 of the first key's answers in ms, and their mean overlap with the second's."""
    latencies, overlaps = [], []
    async with aiohttp.ClientSession(server.base) as session:
        for question in questions:
            started = time.perf_counter()
            found = await _retrieve(session, keys[0], question)
            latencies.append(time.perf_counter() - started)
            exact = await _retrieve(session, keys[1], question)
            overlaps.append(len(found & exact) / len(exact))
    return sorted(latencies)[int(len(latencies) * 0.95)] * 1000, sum(overlaps) / len(overlaps)


async def _retrieve(session: aiohttp.ClientSession, key: str, question: str) -> set[str]:
    body = {"corpus_id": "c", "query": question, "top_k": 10}
    async with session.post(
        "/v1/retrieve", json=body, headers={"Authorization": f"Bearer {key}"}
    ) as response:
        answer = await response.json()
        assert response.status == 200, answer
        return {passage["document_id"] for passage in answer["data"]["passages"]}


def _while_ingesting(server: Server, folder: Path, keys: tuple[str, str], questions: list[str]) -> float:
    path = _write(folder / "flood.jsonl", [f"flood/{n}" for n in range(20_000)])
    flood = subprocess.Popen(
        [
            RAGWORK,
            "ingest",
            "--tenant",
            "flood",
            "--corpus",
            "c",
            "--jsonl",
            str(path),
            "--data-dir",
            str(server.data),
        ],
        env={**os.environ, **server.env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(5)
        p95, _ = asyncio.run(_ask(server, keys, questions))
        return p95
    finally:
        flood.kill()
        flood.wait()
