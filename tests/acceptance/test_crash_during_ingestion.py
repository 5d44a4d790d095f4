"""``kill -9`` of the server while it ingests: every accepted document settles after the restart, none twice."""

import asyncio
import random
import threading
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from installed import Installed, Server

DOCUMENTS = 30
ROUNDS = 3
SETTLE_S = 60.0


def accept_all(server: Server, key: str, round_number: int, accepted: list[str]) -> None:
    """Send every document; note those that were acknowledged. Ends quietly when the server dies."""
    for n in range(DOCUMENTS):
        document_id = f"r{round_number}-{n}"
        text = " ".join(f"Valve {i} of line {n} opens at {i + n} bar." for i in range(300))
        body = {"corpus_id": "c", "document_id": document_id, "text": text}
        try:
            status, answer = server.call("POST", "/v1/documents/text", key, body)
        except OSError:
            return
        assert status == 202, answer
        accepted.append(document_id)


def settled(server: Server, key: str) -> dict[str, Any]:
    """Every document once all are settled, by id."""
    until = time.monotonic() + SETTLE_S
    while True:
        _, answer = server.call("GET", "/v1/documents?corpus_id=c&limit=200", key)
        documents = answer["data"]
        if all(d["status"] in ("succeeded", "failed") for d in documents):
            return {d["id"]: d for d in documents}
        assert time.monotonic() < until, [d for d in documents if d["status"] not in ("succeeded", "failed")]
        time.sleep(0.3)


async def chunks_in_the_index(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    await connection.execute("SET ragwork.tenant = 't1'")
    count: int = await connection.fetchval("SELECT count(*) FROM pgvector.chunks")
    await connection.close()
    return count


# Slow: kills a server and starts it again, once for each place.
@pytest.mark.timeout(300)
def test_every_accepted_document_settles_once_after_each_crash(tmp_path: Path) -> None:
    ragwork = Installed(data_dir=tmp_path / "data", cwd=tmp_path)
    chance = random.Random(20261)
    accepted: list[str] = []
    key = ""
    for round_number in range(ROUNDS):
        with ragwork.serving() as server:
            if not key:
                key = ragwork.key()["key"]
                corpus = {"id": "c", "name": "c", "provider_config_json": {}}
                assert server.call("POST", "/v1/corpora", key, corpus)[0] == 201
            sender = threading.Thread(target=accept_all, args=(server, key, round_number, accepted))
            before = len(accepted)
            sender.start()
            wanted = before + chance.randint(3, DOCUMENTS - 3)
            while len(accepted) < wanted and sender.is_alive():
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.1))
            server.kill()
            sender.join()
            assert len(accepted) >= wanted
    with ragwork.serving() as server:
        documents = settled(server, key)
        assert set(accepted) <= set(documents)
        failed = [d for d in documents.values() if d["status"] == "failed"]
        print(
            f"{len(accepted)} accepted, {len(failed)} failed: {sorted({d['failure_reason'] for d in failed})}"
        )
        # Three crashes are three attempts: a document that was in hand at each of them has had its last.
        assert all(d["failure_reason"].startswith("the worker was lost") for d in failed)
        assert all(d["num_chunks"] or 0 for d in documents.values() if d["status"] == "succeeded")
        # Neither a document twice nor the remains of a torn attempt.
        assert asyncio.run(chunks_in_the_index(ragwork.json("dsn")["dsn"])) == sum(
            d["num_chunks"] or 0 for d in documents.values()
        )
        assert server.stop() == 0
    assert ragwork.left_running() == []
