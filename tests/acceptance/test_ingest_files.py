"""``ragwork ingest PATH…``: folders, patterns and archives, told by content, kept in step, killed and begun again."""

import io
import os
import re
import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from fpdf import FPDF
from installed import RAGWORK, Installed

PLUGINS = "directory,apikeys,rbac,audit,wordllama,pgvector,documents,extractive,agent,parsing,pdf,office,html,data,mail"
CORPUS = ("--tenant", "t1", "--corpus", "c")


def pdf(text: str) -> bytes:
    made = FPDF()
    made.add_page()
    made.set_font("Helvetica", size=12)
    made.multi_cell(0, text=text)
    return bytes(made.output())


def letter(text: str, attachment: bytes) -> bytes:
    made = EmailMessage()
    made["Subject"], made["From"] = "Gates", "ada@harbour.example"
    made.set_content(text)
    made.add_attachment(attachment, maintype="application", subtype="pdf", filename="plan.pdf")
    return made.as_bytes()


def folder(root: Path) -> Path:
    files = {
        "notes.md": b"# Harbour\n\nThe harbour gate opens at seven.\n",
        "deep/er/page.html": b"<html><body><h1>Castle</h1><p>The castle gate opens at nine.</p></body></html>",
        "tables/gates.csv": b"Gate;Opens\nmarket;at ten\n",
        "letter.eml": letter("The plan is attached.", pdf("The river gate opens at noon.")),
        "Grüße an alle.txt": "Das Stadttor öffnet um acht.".encode("cp1252"),
        "photo.png": b"\x89PNG\r\n\x1a\n" + bytes(64),
        "empty.txt": b"",
        ".hidden/secret.md": b"The secret gate never opens.",
    }
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


@pytest.fixture(scope="module")
def ragwork(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    place = tmp_path_factory.mktemp("ingest-files")
    installed = Installed(data_dir=place / "data", cwd=place, settings={"RAGWORK_PLUGINS": PLUGINS})
    yield installed
    assert installed.left_running() == []


def rows(ragwork: Installed, tenant: str = "t1") -> dict[str, dict[str, Any]]:
    """Every document by its id."""
    found: dict[str, dict[str, Any]] = {}
    page = ragwork.json("data", "list", "documents", "--tenant", tenant, "--limit", "200")
    while True:
        found |= {row["id"]: row for row in page["rows"]}
        if page["next_cursor"] is None:
            return found
        page = ragwork.json(
            "data", "list", "documents", "--tenant", tenant, "--limit", "200", "--cursor", page["next_cursor"]
        )


# Slow: starts the command line a dozen times.
def test_a_folder_is_ingested_kept_in_step_and_pruned(ragwork: Installed, tmp_path: Path) -> None:
    root = folder(tmp_path / "docs")
    first = ragwork.json("ingest", str(root), *CORPUS)
    counted = {name: first[name] for name in ("documents", "indexed", "attached", "skipped", "failed")}
    assert counted == {"documents": 7, "indexed": 5, "attached": 1, "skipped": 2, "failed": 0}
    documents = rows(ragwork)
    assert {
        "notes.md",
        "deep:er:page.html",
        "tables:gates.csv",
        "letter.eml",
        "letter.eml.attachment-1",
    } < set(documents)
    assert len(documents) == 6
    assert all(row["status"] == "succeeded" for row in documents.values())
    for question, answer in (("castle", "nine"), ("river", "noon"), ("market", "ten"), ("harbour", "seven")):
        said = ragwork.run("ask", f"When does the {question} gate open?", *CORPUS).stdout
        assert answer in said, said
    again = ragwork.json("ingest", str(root), *CORPUS)
    assert (again["indexed"], again["unchanged"], again["failed"]) == (0, 5, 0)

    (root / "notes.md").write_text("# Harbour\n\nThe harbour gate opens at six.\n")
    (root / "letter.eml").unlink()
    (root / "tables" / "gates.csv").rename(root / "gates.csv")
    mirrored = ragwork.json("ingest", str(root), *CORPUS, "--mirror")
    assert (mirrored["indexed"], mirrored["unchanged"], mirrored["removed"]) == (2, 2, 2)
    documents = rows(ragwork)
    assert "letter.eml" not in documents
    assert "letter.eml.attachment-1" not in documents
    assert "tables:gates.csv" not in documents
    assert "gates.csv" in documents

    shutil.rmtree(root)
    root.mkdir()
    refused = ragwork.run("ingest", str(root), *CORPUS, "--mirror")
    assert (refused.returncode, "holds no file" in refused.stdout + refused.stderr) == (1, True)
    assert set(rows(ragwork)) == set(documents)


# Slow: starts the command line four times.
def test_patterns_and_archives_have_the_ids_of_their_paths(ragwork: Installed, tmp_path: Path) -> None:
    root = folder(tmp_path / "docs")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("guide/a.md", "The north gate opens at one.")
        archive.writestr("__MACOSX/guide/._a.md", "resource")
    (tmp_path / "docs.zip").write_bytes(buffer.getvalue())
    where = ("--tenant", "t2", "--corpus", "c")
    made = ragwork.json(
        "ingest", str(root / "**" / "*.html"), str(tmp_path / "docs.zip"), *where, "--prefix", "v1:"
    )
    assert (made["documents"], made["indexed"]) == (2, 2)
    assert set(rows(ragwork, "t2")) == {"v1:deep:er:page.html", "v1:guide:a.md"}
    twice = ragwork.run("ingest", str(root / "notes.md"), str(folder(tmp_path / "more") / "notes.md"), *where)
    assert (twice.returncode, "would both be document 'notes.md'" in twice.stdout + twice.stderr) == (1, True)
    for wrong in ((), (str(root), "--jsonl", str(root)), (str(tmp_path / "nowhere"),)):
        done = ragwork.run("ingest", *wrong, *where)
        assert done.returncode == 1, done.stderr
        assert "error: " in done.stdout + done.stderr


def progress(shown: Path) -> int:
    """How many of 120 documents the bar counts last."""
    counted = re.findall(r"(\d+)/120", shown.read_text())
    return int(counted[-1]) if counted else 0


# Slow: ingests a folder that is large enough to be killed in the middle, three times.
def test_a_folder_whose_ingestion_is_killed_loses_nothing_and_has_nothing_twice(
    ragwork: Installed, tmp_path: Path
) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for number in range(120):
        text = f"Gate {number} opens at {number} past noon. " * 20
        content = {0: text.encode(), 1: f"<html><body><p>{text}</p></body></html>".encode(), 2: pdf(text)}[
            number % 3
        ]
        (root / f"gate-{number}.{('txt', 'html', 'pdf')[number % 3]}").write_bytes(content)
    command = [
        str(RAGWORK),
        "ingest",
        str(root),
        "--tenant",
        "t3",
        "--corpus",
        "c",
        "--data-dir",
        str(ragwork.data_dir),
    ]
    for reached in (20, 60):
        shown = tmp_path / f"until-{reached}"
        with shown.open("wb") as errors:
            process = subprocess.Popen(
                command, cwd=ragwork.cwd, env=ragwork.environ({}), stdout=subprocess.DEVNULL, stderr=errors,
                start_new_session=True,
            )  # fmt: skip
        while progress(shown) < reached:
            assert process.poll() is None, shown.read_text()
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert progress(shown) < 120
    done = ragwork.json("ingest", str(root), "--tenant", "t3", "--corpus", "c")
    assert (done["documents"], done["failed"], "skipped" in done) == (120, 0, False)
    assert done["indexed"] + done["unchanged"] == 120
    documents = rows(ragwork, "t3")
    assert sorted(documents) == sorted(path.name for path in root.iterdir())
    assert {row["status"] for row in documents.values()} == {"succeeded"}
