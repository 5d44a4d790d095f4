"""Commands beside a running server: they run in it, as they would alone, and alone where its settings are others."""

import stat
from pathlib import Path

import pytest
from installed import Installed

ASK = ("ask", "Which gates does a release pass?", "--tenant", "t1", "--corpus", "c1")


@pytest.fixture
def ragwork(tmp_path: Path) -> Installed:
    return Installed(data_dir=tmp_path / "data", cwd=tmp_path)


# Slow: starts a server, and a dozen commands beside it.
def test_commands_use_the_running_server_and_say_when_they_do_not(ragwork: Installed) -> None:
    with ragwork.serving() as server:
        socket = ragwork.data_dir / "serve.sock"
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        assert ragwork.json("seed", "--tenant", "t1")["seeded"]
        there = ragwork.run(*ASK)
        assert (there.returncode, there.stderr) == (0, "")
        assert "[1]" in there.stdout
        missing = ragwork.run("keys", "list", "--tenant", "t1x")
        assert (missing.returncode, missing.stdout) == (1, "")
        assert missing.stderr == "ragwork: NOT_FOUND: there is no tenant 't1x'; did you mean 't1'?\n"
        bad = ragwork.run(
            "keys", "create", "--tenant", "t1", "--role", "reader", "--name", "n", "--expires", "9999d"
        )
        assert bad.returncode == 2
        other = ragwork.run(*ASK, LLM_PROVIDER="fake")
        assert other.returncode == 0
        assert "differs in LLM_PROVIDER" in other.stderr
        server.kill()
        assert socket.exists()  # what kill -9 leaves behind must not be in the way
        alone = ragwork.run(*ASK)
    assert (alone.returncode, alone.stdout) == (0, there.stdout)


# Slow: starts a server, and commands beside it.
def test_a_path_is_the_one_of_where_the_command_was_typed(ragwork: Installed, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "docs.jsonl").write_text('{"document_id": "d1", "text": "The gate opens at nine."}\n')
    here = Installed(data_dir=ragwork.data_dir, cwd=folder)
    with ragwork.serving():
        done = here.json("ingest", "--tenant", "t1", "--corpus", "c1", "--jsonl", "docs.jsonl")
    assert (done["documents"], done["indexed"]) == (1, 1)
