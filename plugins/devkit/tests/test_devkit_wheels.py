"""A third party's way: written, proved, built, installed where no source is, booted and used.

Three kinds in the quick suite; every kind with ``RAGWORK_PROVE=1``.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ragwork_devkit import names, scaffold
from ragwork_devkit.commands import TOOLS
from ragwork_devkit.kinds import KINDS
from ragwork_hooks.commands import OfflineCommandContext
from ragwork_testkit.platform import QuietConsole

PROVE = bool(os.environ.get("RAGWORK_PROVE"))
CHOSEN = tuple(KINDS) if PROVE else ("llm", "gate", "route")
NAMES = {kind: f"try_{kind}" for kind in CHOSEN}
# The build backend looks for its program on the path.
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
OFFLINE = {
    "PATH": PATH,
    "PIP_NO_INDEX": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}


def write(into: Path, kind: str) -> Path:
    name = NAMES[kind]
    folder = into / names.distribution(name)
    scaffold.write(folder, scaffold.plan(KINDS[kind], name))
    return folder


def pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", *map(str, arguments), "--quiet", "--no-deps"]
    done = subprocess.run(command, env={**os.environ, **OFFLINE}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# Slow: runs the whole kit on every kind of plugin.
@pytest.mark.parametrize("kind", CHOSEN)
async def test_a_new_plugin_is_gold_as_it_is_written(tmp_path: Path, kind: str) -> None:
    console = QuietConsole()
    folder = write(tmp_path, kind)
    assert await TOOLS[1].run(OfflineCommandContext(console=console, options={"path": str(folder)})) == 0
    [report] = console.results
    assert [finding for finding in report["findings"] if finding["problems"]] == []
    assert report["tier"] == "gold"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a platform saw of the plugins, installed from wheels into a folder of their own."""
    folder = tmp_path_factory.mktemp("wheels")
    sources = [write(folder / "src", kind) for kind in CHOSEN]
    pip("wheel", "--no-build-isolation", "--wheel-dir", folder / "wheels", *sources)
    shutil.rmtree(folder / "src")
    pip("install", "--target", folder / "site", *sorted((folder / "wheels").glob("*.whl")))
    script = Path(__file__).with_name("use_wheels.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder), *(f"{kind}={name}" for kind, name in NAMES.items())],
        env={**os.environ, "PYTHONPATH": str(folder / "site")},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found["site"] = str(folder / "site")
    return found


# Slow: installs every wheel and starts a server.
def test_the_platform_runs_the_wheels_and_no_source(seen: dict[str, Any]) -> None:
    assert seen["inactive"] == {}
    assert all(place.startswith(seen["site"]) for place in seen["places"].values())


def test_a_document_is_ingested_and_a_question_answered_through_them(seen: dict[str, Any]) -> None:
    assert seen["status"] == "succeeded"
    assert seen["types"][-3:] == ["message.final", "audio.ready", "done"]
    assert seen["answer"] == "The pump is serviced every three weeks. [1]"


def test_the_gate_keeps_its_action_to_administrators(seen: dict[str, Any]) -> None:
    assert seen["deleted"] == {"editor": 403, "admin": 204}


def test_the_routes_answer_from_their_own_table(seen: dict[str, Any]) -> None:
    assert (seen["written"], seen["notes"]) == (201, ["note"])


@pytest.mark.skipif(not PROVE, reason="every kind is built with RAGWORK_PROVE=1")
def test_what_the_voice_says_the_recognizer_hears(seen: dict[str, Any]) -> None:
    assert seen["heard"] == "hello 42"


@pytest.mark.skipif(not PROVE, reason="every kind is built with RAGWORK_PROVE=1")
def test_the_sink_kept_each_change_of_the_index(seen: dict[str, Any]) -> None:
    assert seen["lines"] == [["index.changed", "d1"], ["index.changed", "d1"]]


@pytest.mark.skipif(not PROVE, reason="every kind is built with RAGWORK_PROVE=1")
def test_the_parser_reads_its_files_in_a_process_of_its_own(seen: dict[str, Any]) -> None:
    assert seen["parsed"] == ["The pump runs."]


@pytest.mark.skipif(not PROVE, reason="every kind is built with RAGWORK_PROVE=1")
def test_the_reranker_scored_what_was_found(seen: dict[str, Any]) -> None:
    score, not_reranked = seen["reranked"]
    assert score > 0.5
    assert not_reranked == []


@pytest.mark.skipif(not PROVE, reason="every kind is built with RAGWORK_PROVE=1")
def test_the_connector_keeps_a_corpus_in_step(seen: dict[str, Any]) -> None:
    assert seen["synced"] == 1
