"""Sources at the installed server: one that is killed in the middle of a sync, and two that sync at once."""

import asyncio
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from installed import RAGWORK, Installed, Server
from ragwork_testkit.database import PostgresServer

PLUGINS = "directory,apikeys,rbac,audit,wordllama,pgvector,documents,parsing,connectors"
FILES = 150
SYNC_S = 120.0


def folder(root: Path, files: int) -> Path:
    for number in range(files):
        path = root / f"pier-{number % 7}" / f"gate-{number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# Gate {number}\n\n" + f"Gate {number} opens at {number} past noon. " * 60)
    return root


def add(ragwork: Installed, root: Path) -> None:
    done = ragwork.run(
        "sources", "add", "files", "--tenant", "t1", "--corpus", "c",
        "--connector", "folder", "--option", f"path={root}", "--every", "0s",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def listed(server: Server, key: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while True:
        _, answer = server.call("GET", f"/v1/documents?corpus_id=c&limit=100&offset={len(found)}", key)
        page = {document["id"]: document for document in answer["data"]}
        if not page.keys() - found.keys():
            return found
        found |= page


async def chunks_and_documents(dsn: str) -> tuple[int, int]:
    connection = await asyncpg.connect(dsn)
    await connection.execute("SET ragwork.tenant = 't1'")
    chunks: int = await connection.fetchval("SELECT count(*) FROM pgvector.chunks")
    counted: int = await connection.fetchval("SELECT sum(num_chunks) FROM documents.documents")
    await connection.close()
    return chunks, counted


# Slow: kills a server in the middle of a sync and starts it again, twice.
@pytest.mark.timeout(300)
def test_a_sync_whose_server_is_killed_loses_nothing_and_has_nothing_twice(tmp_path: Path) -> None:
    root = folder(tmp_path / "files", FILES)
    ragwork = Installed(data_dir=tmp_path / "data", cwd=tmp_path, settings={"RAGWORK_PLUGINS": PLUGINS})
    add(ragwork, root)
    key = ragwork.key()["key"]
    command = [str(RAGWORK), "sources", "sync", "files", "--data-dir", str(ragwork.data_dir)]
    before = 0
    for _ in range(2):
        with ragwork.serving() as server:
            waiting = subprocess.Popen(
                command, cwd=tmp_path, env=ragwork.environ({}), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )  # fmt: skip
            until = time.monotonic() + SYNC_S
            while len(found := listed(server, key)) <= before:
                assert time.monotonic() < until
                time.sleep(0.02)
            before = len(found)
            server.kill()
            waiting.send_signal(signal.SIGKILL)
            waiting.wait()
    assert 0 < before < FILES, "it was not killed in the middle"
    with ragwork.serving() as server:
        until = time.monotonic() + SYNC_S
        while (row := ragwork.json("sources", "list")[0])["outcome"] is None:
            assert time.monotonic() < until, "the sync that was killed does not go on"
            time.sleep(0.5)
        assert (row["outcome"], row["counts"]["failed"]) == ("succeeded", 0)
        documents = listed(server, key)
        names = {f"files:{path.relative_to(root).as_posix().replace('/', ':')}" for path in root.glob("*/*")}
        assert set(documents) == names
        assert {document["status"] for document in documents.values()} == {"succeeded"}
        chunks, counted = asyncio.run(chunks_and_documents(ragwork.json("dsn")["dsn"]))
        assert chunks == counted
        again = ragwork.json("sources", "sync", "files")
        assert (again["new"], again["changed"], again["removed"], again["unchanged"]) == (0, 0, 0, FILES)
        assert server.stop() == 0
    assert ragwork.left_running() == []


# Slow: starts two servers.
async def test_two_servers_sync_a_source_once(postgres: PostgresServer, tmp_path: Path) -> None:
    async with postgres.database([]) as fresh:
        settings = {"DATABASE_URL": fresh.admin, "RAGWORK_PLUGINS": PLUGINS}
        homes = [
            Installed(data_dir=tmp_path / name, cwd=tmp_path, settings=settings) for name in ("one", "two")
        ]
        root = folder(tmp_path / "files", 40)
        with homes[0].serving() as one, homes[1].serving() as two, ThreadPoolExecutor() as threads:
            await asyncio.to_thread(add, homes[0], root)
            syncs = [threads.submit(home.json, "sources", "sync", "files") for home in (*homes, *homes)]
            results = [await asyncio.wrap_future(sync) for sync in syncs]
            assert all(result["new"] + result["unchanged"] == 40 for result in results)
            key = homes[0].key()["key"]
            assert len(await asyncio.to_thread(listed, one, key)) == 40
            connection = await asyncpg.connect(fresh.admin)
            accepted = await connection.fetchval(
                "SELECT count(*) FROM audit.events WHERE event_type = 'documents.ingest.enqueued'"
            )
            await connection.close()
            assert accepted == 40, "a document was accepted twice"
            assert one.stop() == two.stop() == 0
