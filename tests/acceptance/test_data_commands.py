"""``ragwork data``: what is stored, listed and exported by the installed command."""

import json
import stat
from collections.abc import Iterator

import pytest
from installed import Installed

PLUGINS = "directory,apikeys,rbac,audit,wordllama,pgvector,documents,extractive,agent"


@pytest.fixture(scope="module")
def ragwork(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """Tenants ``t1``, with three documents and one conversation, and ``t2``, with one document."""
    folder = tmp_path_factory.mktemp("data-commands")
    installed = Installed(data_dir=folder / "data", cwd=folder, settings={"RAGWORK_PLUGINS": PLUGINS})
    one = folder / "one.jsonl"
    one.write_text(json.dumps({"document_id": "only", "text": "The moon is a stone."}) + "\n")
    for argv in (
        ("seed", "--tenant", "t1"),
        ("keys", "create", "--tenant", "t1", "--role", "reader", "--name", "n", "--user", "ann"),
        ("ask", "What is a release gate?", "--tenant", "t1", "--corpus", "c1", "--user", "ann"),
        ("ingest", "--tenant", "t2", "--corpus", "c", "--jsonl", str(one)),
    ):
        done = installed.run(*argv)
        assert done.returncode == 0, done.stderr
    yield installed
    assert installed.left_running() == []


# Slow: the first of its module, for which an instance is made.
def test_the_stores_there_are_say_what_their_columns_mean(ragwork: Installed) -> None:
    stores = {store["name"]: store for store in ragwork.json("data", "stores")}
    assert set(stores) == {"documents", "messages"}
    assert {"name", "type", "about", "sortable", "facet"} == set(stores["documents"]["columns"][0])
    told = ragwork.run("data", "stores").stdout
    assert all(f"{store['name']}: {store['about']}" in told for store in stores.values())


def test_a_list_is_of_one_tenant_and_has_pages(ragwork: Installed) -> None:
    listed = ("data", "list", "documents", "--sort", "-id", "--tenant")
    first = ragwork.json(*listed, "t1", "--limit", "2")
    rest = ragwork.json(*listed, "t1", "--cursor", first["next_cursor"])
    ids = [row["id"] for row in (*first["rows"], *rest["rows"])]
    assert (len(ids), ids) == (3, sorted(ids, reverse=True))
    assert (rest["next_cursor"], rest["facets"]) == (None, {})
    assert first["facets"]["status"] == {"succeeded": 3}
    assert [row["id"] for row in ragwork.json(*listed, "t2")["rows"]] == ["only"]
    found = ragwork.json(*listed, "t1", "--filter", "status=succeeded", "--filter", f"id={ids[0]}")
    assert [row["id"] for row in found["rows"]] == ids[:1]


def test_a_list_is_a_table_for_people(ragwork: Installed) -> None:
    done = ragwork.run("data", "list", "messages", "--tenant", "t1", "--limit", "1")
    head, row, *rest = done.stdout.splitlines()
    assert head.split()[:3] == ["USER", "ID", "SESSION"]
    assert row.startswith("ann ")
    assert "role: assistant 1, user 1" in rest
    assert rest[-1].startswith("more with --cursor ")
    assert "release" not in done.stdout
    empty = ragwork.run("data", "list", "messages", "--tenant", "t2")
    assert (empty.returncode, empty.stdout) == (0, "no messages\n")


# Slow: starts the command line four times.
def test_an_export_goes_to_standard_output_or_into_a_new_private_file(ragwork: Installed) -> None:
    export = ("data", "export", "messages", "--tenant", "t1", "--subject")
    done = ragwork.run(*export, "user:ann")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["role"] for row in rows] == ["user", "assistant"]
    assert rows[0]["text"] == "What is a release gate?"
    assert "export messages" in done.stderr
    place = ragwork.cwd / "export.jsonl"
    into = ragwork.json(*export, "user:ann", "--output", str(place))
    assert into == {"file": str(place), "rows": 2}
    assert [json.loads(line) for line in place.read_text().splitlines()] == rows
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    again = ragwork.run(*export, "user:ann", "--output", str(place))
    assert (again.returncode, "--output" in again.stderr) == (2, True)
    assert ragwork.run(*export, "user:bob").stdout == ""
    texts = ragwork.run("data", "export", "documents", "--tenant", "t2", "--subject", "document:only").stdout
    assert json.loads(texts)["text"] == "The moon is a stone."


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (("list", "nosuch", "--tenant", "t1"), 2, "documents, messages"),
        (("export", "nosuch", "--tenant", "t1", "--subject", "user:a"), 2, "documents, messages"),
        (("list", "documents"), 2, "--tenant"),
        (("list", "documents", "--tenant", "nosuch"), 1, "there is no tenant 'nosuch'"),
        (
            ("export", "documents", "--tenant", "nosuch", "--subject", "user:a"),
            1,
            "there is no tenant 'nosuch'",
        ),
        (("list", "documents", "--tenant", "t1", "--sort", "shoe"), 1, "created_at"),
        (("list", "documents", "--tenant", "t1", "--sort", "num_chunks"), 1, "created_at"),
        (("list", "documents", "--tenant", "t1", "--filter", "shoe=1"), 1, "corpus_id"),
        (("list", "documents", "--tenant", "t1", "--filter", "shoe"), 2, "COLUMN=VALUE"),
        (
            ("list", "documents", "--tenant", "t1", "--filter", "created_at=now"),
            1,
            "2030-01-31T12:00:00+00:00",
        ),
        (("list", "documents", "--tenant", "t1", "--cursor", "x"), 1, "INVALID_CURSOR"),
        (("export", "documents", "--tenant", "t1", "--subject", "ann"), 2, "tenant, user, session, document"),
        (("export", "documents", "--tenant", "t1", "--subject", "user:a", "--output", "/no/f"), 2, "/no/f"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    ragwork: Installed, argv: tuple[str, ...], status: int, said: str
) -> None:
    done = ragwork.run("data", *argv)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
