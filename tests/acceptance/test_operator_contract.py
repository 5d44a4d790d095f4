"""The contract that operators script against, held by the installed command in its own process."""

import asyncio
import json
import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from installed import NOBODY, Installed, Server

DOCUMENTS = 12


@pytest.fixture(scope="module")
def ragwork(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("operator")
    return Installed(data_dir=folder / "data", cwd=folder)


@pytest.fixture(scope="module")
def server(ragwork: Installed) -> Iterator[Server]:
    """One server for the module; every command below runs beside it on the same data directory."""
    with ragwork.serving() as running:
        yield running
        assert running.stop() == 0
    assert ragwork.left_running() == []


@pytest.fixture(scope="module")
def admin(ragwork: Installed, server: Server) -> str:
    assert ragwork.run("seed", "--tenant", "t1").returncode == 0
    return ragwork.key()["key"]


def write_documents(path: Path, prefix: str = "doc", count: int = DOCUMENTS) -> Path:
    lines = [
        {
            "document_id": f"{prefix}-{n}",
            "text": f"Boiler number {n} is inspected every {n + 2} months by the {prefix} team.",
            "filename": f"{n}.txt",
            "metadata": {"n": n},
        }
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_server_is_ready_when_its_health_answers_200(server: Server) -> None:
    status, answer = server.call("GET", "/v1/health")
    assert (status, answer["data"]["status"]) == (200, "ok")
    assert answer["data"]["inactive_plugins"] == {}


def test_a_key_is_made_beside_the_running_server_and_carries_its_user(
    ragwork: Installed, server: Server
) -> None:
    made = ragwork.key(tenant="fresh", role="editor", user="ann")
    assert set(made) == {"id", "key"}
    assert made["key"].startswith("nrgk_")
    assert server.call("GET", "/v1/corpora", made["key"])[0] == 200
    rows = ragwork.json("keys", "list", "--tenant", "fresh")
    assert [(r["user"], r["role"]) for r in rows] == [("ann", "editor")]
    corpus = {"id": "own", "name": "Own", "provider_config_json": {}}
    assert server.call("POST", "/v1/corpora", made["key"], corpus)[0] == 201
    reader = ragwork.key(tenant="fresh", role="reader")["key"]
    assert server.call("POST", "/v1/corpora", reader, {**corpus, "id": "no"})[0] == 403


def test_seed_fills_c1_once_for_the_whole_tenant(ragwork: Installed, server: Server) -> None:
    first = ragwork.run("seed", "--tenant", "seeded")
    assert first.returncode == 0, first.stderr
    assert "already seeded" not in first.stdout
    second = ragwork.run("seed", "--tenant", "seeded")
    assert (second.returncode, "already seeded" in second.stdout) == (0, True)
    reader = ragwork.key(tenant="seeded", role="reader")["key"]
    status, answer = server.call("GET", "/v1/documents?corpus_id=c1", reader)
    documents = answer["data"]
    assert (status, len(documents), sum(d["num_chunks"] for d in documents)) == (200, 3, 10)
    assert {d["status"] for d in documents} == {"succeeded"}


def test_a_run_streams_a_cited_answer(server: Server, admin: str) -> None:
    events = server.ask(admin, "What is a release gate in Agent 2.0?", session="cited")
    kinds = [event["type"] for event in events]
    assert kinds[0] == "request.accepted"
    assert kinds[-2:] == ["message.final", "done"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    final = events[-2]["data"]
    assert [c["n"] for c in final["citations"]] == list(range(1, len(final["citations"]) + 1))
    assert "[1]" in final["text"]
    assert "".join(e["data"]["delta"] for e in events if e["type"] == "token.delta") == final["text"]


def test_a_missing_corpus_is_an_error_in_the_stream(server: Server, admin: str) -> None:
    events = server.ask(admin, "Where?", corpus="none", session="missing")
    assert [e["type"] for e in events] == ["request.accepted", "error", "done"]
    assert events[1]["data"]["code"] == "RETRIEVAL_CONFIG_INVALID"


def test_a_question_of_20000_characters_is_answered(server: Server, admin: str) -> None:
    assert server.ask(admin, "release gate " * 1538, session="long")[-2]["type"] == "message.final"


def test_ask_prints_marks_and_lists_what_they_stand_for(ragwork: Installed, admin: str) -> None:
    done = ragwork.run("ask", "What is a release gate?", "--tenant", "t1", "--corpus", "c1")
    assert done.returncode == 0, done.stderr
    answer, _, listed = done.stdout.partition("\n\n")
    marks = set(re.findall(r"\[(\d+)\]", done.stdout.split("\n[1]")[0]))
    assert marks
    for mark in marks:
        assert re.search(rf"^\[{mark}\] \S+", done.stdout, re.MULTILINE), (answer, listed)


def test_ingest_shows_progress_indexes_all_and_resumes(
    ragwork: Installed, server: Server, admin: str, tmp_path: Path
) -> None:
    lines = write_documents(tmp_path / "docs.jsonl")
    argv = ("ingest", "--tenant", "t1", "--corpus", "boilers", "--jsonl", str(lines))
    first = ragwork.run(*argv)
    assert first.returncode == 0, first.stderr
    assert f"{DOCUMENTS}/{DOCUMENTS}" in first.stderr
    assert re.search(r"doc/s|s/doc", first.stderr)
    assert ragwork.json(*argv) | {"seconds": 0} == {
        "documents": DOCUMENTS, "indexed": 0, "unchanged": DOCUMENTS, "failed": 0, "seconds": 0,
    }  # fmt: skip
    body = {"corpus_id": "boilers", "query": "boiler number 7", "top_k": 3, "filter": {"n": 7}}
    status, answer = server.call("POST", "/v1/retrieve", admin, body)
    passages = answer["data"]["passages"]
    assert (status, [p["document_id"] for p in passages]) == (200, ["doc-7"])
    assert {"document_id", "chunk_id", "text", "score", "source", "metadata"} <= set(passages[0])


def test_ingest_takes_a_folder_and_can_keep_documents_to_their_owner(
    ragwork: Installed, server: Server, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        write_documents(tmp_path / f"{name}.jsonl", name, 2)
    argv = ("ingest", "--tenant", "t9", "--corpus", "c", "--jsonl", str(tmp_path), "--readers", "owner")
    assert ragwork.run(*argv).returncode == 0
    reader = ragwork.key(tenant="t9", role="reader")["key"]
    assert server.call("GET", "/v1/documents?corpus_id=c", reader)[1]["data"] == []
    _, answer = server.call("POST", "/v1/retrieve", reader, {"corpus_id": "c", "query": "boiler", "top_k": 5})
    assert answer["data"]["passages"] == []


@pytest.mark.parametrize(
    "bad",
    [
        "{",
        "[]",
        '{"document_id": "x"}',
        '{"document_id": "../x", "text": "t"}',
        '{"document_id": 1, "text": "t"}',
    ],
)
def test_ingest_names_the_bad_line_and_takes_none(
    ragwork: Installed, server: Server, admin: str, tmp_path: Path, bad: str
) -> None:
    path = write_documents(tmp_path / "bad.jsonl", "bad", 2)
    path.write_text(path.read_text() + bad + "\n")
    done = ragwork.run("ingest", "--tenant", "t1", "--corpus", "untouched", "--jsonl", str(path))
    assert done.returncode == 1
    assert re.search(r"bad\.jsonl.*\b3\b", done.stdout + done.stderr)
    assert "Traceback" not in done.stderr
    assert server.call("GET", "/v1/corpora/untouched", admin)[0] == 404


def test_dsn_is_the_applications_or_the_owners(ragwork: Installed, server: Server) -> None:
    async def role(dsn: str) -> tuple[str, bool]:
        connection = await asyncpg.connect(dsn)
        row = await connection.fetchrow(
            "SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user"
        )
        await connection.close()
        return row[0], row[1]

    assert asyncio.run(role(ragwork.run("dsn").stdout.strip())) == ("ragwork_app", False)
    assert asyncio.run(role(ragwork.json("dsn", "--owner")["dsn"]))[0] == "ragwork_owner"


def test_openapi_is_what_the_server_serves(ragwork: Installed, server: Server) -> None:
    printed = json.loads(ragwork.run("openapi").stdout)
    assert printed == server.call("GET", "/v1/openapi.json")[1]
    assert printed["openapi"].startswith("3.1")
    assert {"/v1/run", "/v1/retrieve", "/v1/documents", "/v1/corpora"} <= set(printed["paths"])


@pytest.mark.parametrize(
    "argv", [("plugins",), ("config", "check"), ("doctor",), ("jobs", "list"), ("migrate", "--dry-run")]
)
def test_inspecting_commands_work_beside_the_server(
    ragwork: Installed, server: Server, argv: tuple[str, ...]
) -> None:
    done = ragwork.run(*argv, "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    json.loads(done.stdout)


def test_a_taken_port_is_named_with_its_fix(ragwork: Installed, server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = ragwork.run("serve", "--port", port)
    assert done.returncode == 2
    assert f"--port {port}" in done.stderr
    assert "Fix: " in done.stderr
    assert server.call("GET", "/v1/health")[0] == 200


def test_the_data_directory_is_private(ragwork: Installed, server: Server) -> None:
    assert stat.S_IMODE(ragwork.data_dir.stat().st_mode) & 0o077 == 0


# Slow: starts a server and waits for it to end.
def test_sigterm_lets_a_live_stream_finish_and_ends_with_0(tmp_path: Path) -> None:
    ragwork = Installed(
        data_dir=tmp_path / "d", cwd=tmp_path, settings={"LLM_PROVIDER": "fake", "FAKE_TOKEN_DELAY_MS": "50"}
    )
    with ragwork.serving() as server:
        assert ragwork.run("seed", "--tenant", "t1").returncode == 0
        key = ragwork.key()["key"]

        async def stream() -> list[str]:
            kinds = []
            async for event in server.events(key, "What is a gate?"):
                kinds.append(event["type"])
                if kinds.count("token.delta") == 3 and event["type"] == "token.delta":
                    server.process.terminate()
            return kinds

        kinds = asyncio.run(stream())
        assert kinds[-2:] == ["message.final", "done"]
        assert kinds.count("token.delta") > 20
        assert server.process.wait(15) == 0
    assert ragwork.left_running() == []


# Slow: starts a server and waits for its drain to be over.
def test_a_stream_that_outlasts_the_drain_is_told_so(tmp_path: Path) -> None:
    settings = {"LLM_PROVIDER": "fake", "FAKE_TOKEN_DELAY_MS": "200", "DRAIN_TIMEOUT_SECONDS": "1"}
    ragwork = Installed(data_dir=tmp_path / "d", cwd=tmp_path, settings=settings)
    with ragwork.serving() as server:
        assert ragwork.run("seed", "--tenant", "t1").returncode == 0
        key = ragwork.key()["key"]

        async def stream() -> list[dict[str, object]]:
            events = []
            async for event in server.events(key, "What is a gate?"):
                events.append(event)
                if len(events) == 2:
                    server.process.terminate()
            return events

        events = asyncio.run(stream())
        assert [e["type"] for e in events][-2:] == ["error", "done"]
        assert events[-2]["data"]["code"] == "SERVICE_UNAVAILABLE"  # type: ignore[index]
        assert server.process.wait(15) == 0


# Slow: starts a server with a data directory of its own.
@pytest.mark.program("setpriv")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_it_works_as_a_user_without_rights() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chown(folder, 65534, 65534)
        ragwork = Installed(data_dir=folder / "data", cwd=folder, become=NOBODY)
        with ragwork.serving() as server:
            assert ragwork.run("seed", "--tenant", "t1").returncode == 0
            assert server.call("GET", "/v1/corpora", ragwork.key()["key"])[0] == 200
            assert ragwork.data_dir.stat().st_uid == 65534
            assert server.stop() == 0
        assert ragwork.left_running() == []
