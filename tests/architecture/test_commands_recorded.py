"""Every command that changes something leaves the record that its route would, in the operator's name."""

import json
import os
import pwd
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest
from ragwork_cli import data_commands, job_commands, plugin_commands
from ragwork_cli.operator_commands import COMMANDS
from ragwork_cli.operator_records import operator
from ragwork_hooks.commands import Command
from ragwork_hooks.errors import Problem
from ragwork_testkit.platform import ALL_PLUGINS, DEFAULT_PLUGINS, DOOR_SETTINGS, QuietConsole

ACTOR = f"operator:{pwd.getpwuid(os.getuid()).pw_name}"
#: Commands that look, serve, or write nothing but files and the schema.
HARMLESS = {
    ("serve",), ("worker",), ("migrate",), ("doctor",), ("openapi",), ("dsn",), ("smoke",), ("eval",),
    ("jobs", "list"), ("jobs", "why"), ("keys", "list"),
    ("audit", "verify"), ("audit", "export"), ("audit", "public-key"), ("data", "stores"), ("sources", "list"),
    ("capacity", "estimate"),
}  # fmt: skip
#: Groups of the operator's own files.
FILES = ("plugins", "config")


async def key(app: Any) -> str:
    console = await app.command("keys", "create", tenant="t1", role="admin", name="n", user="u")
    return str(console.results[-1]["id"])


async def create(app: Any, _folder: Path) -> None:
    await key(app)


async def revoke(app: Any, _folder: Path) -> None:
    await app.command("keys", "revoke", key_id=await key(app))


async def rotate(app: Any, _folder: Path) -> None:
    await app.command("keys", "rotate", key_id=await key(app))


async def seed(app: Any, _folder: Path) -> None:
    await app.command("seed", tenant="t1")


async def ingest(app: Any, folder: Path) -> None:
    file = folder / "some.jsonl"
    file.write_text(json.dumps({"document_id": "d", "text": "The moon is a stone."}) + "\n")
    await app.command("ingest", tenant="t1", corpus="c1", jsonl=str(file))


async def ask(app: Any, _folder: Path) -> None:
    await app.command("seed", tenant="t1")
    await app.command("ask", question="What is here?", tenant="t1", corpus="c1")


async def add_source(app: Any, folder: Path) -> None:
    files = folder / "files"
    files.mkdir(exist_ok=True)
    (files / "a.md").write_text("The moon is a stone.")
    where = {"tenant": "t1", "corpus": "c2", "connector": "folder", "option": f"path={files}"}
    await app.command("sources", "add", name="files", every="0s", **where)


async def sync_source(app: Any, _folder: Path) -> None:
    await app.command("sources", "sync", name="files")


async def remove_source(app: Any, _folder: Path) -> None:
    await app.command("sources", "remove", name="files")


async def retry(app: Any, folder: Path) -> None:
    """The kernel's own, as typed: on the same database, in a process' worth of its own."""
    connection = await asyncpg.connect(app.database_url)
    job_id = await connection.fetchval(
        """INSERT INTO ragwork.jobs (tenant_id, entrypoint, payload, priority, status)
           VALUES ('t1', 'test', '{}', 0, 'failed') RETURNING job_id::text"""
    )
    console = QuietConsole()
    assert await job_commands.retry({"job_id": job_id}, folder, console) == 0, console.said
    assert await job_commands.retry({"job_id": job_id}, folder, console) == 1
    await connection.close()


async def list_data(_app: Any, folder: Path) -> None:
    options = {"filter": ("status=failed",), "sort": None, "limit": 50, "cursor": None}
    console = QuietConsole()
    assert (
        await data_commands.list_rows({"store": "documents", "tenant": "t1", **options}, folder, console) == 0
    )


async def export_data(_app: Any, folder: Path) -> None:
    options = {"store": "documents", "tenant": "t1", "subject": "user:u", "output": str(folder / "exported")}
    assert await data_commands.export(options, folder, QuietConsole()) == 0


Typed: TypeAlias = Callable[[Any, Path], Awaitable[None]]
MUTATING: dict[tuple[str, ...], Typed] = {
    ("keys", "create"): create, ("keys", "revoke"): revoke, ("keys", "rotate"): rotate,
    ("seed",): seed, ("ingest",): ingest, ("ask",): ask, ("jobs", "retry"): retry,
    ("data", "list"): list_data, ("data", "export"): export_data,
    ("sources", "add"): add_source, ("sources", "sync"): sync_source, ("sources", "remove"): remove_source,
}  # fmt: skip
ASSEMBLY: dict[str, Any] = {
    "plugins": (*ALL_PLUGINS, "parsing", "connectors"),
    "settings": {**DOOR_SETTINGS, "AUDIT_ANCHORS": ""},
}


def declared(app: Any) -> dict[tuple[str, ...], str | None]:
    """Every command there is, and the event that it declares."""
    plugins = [c for _, c in plugin_commands.of(app.platform.assembly) if isinstance(c, Command)]
    return {command.path: command.audit_event for command in (*COMMANDS, *plugins)}


async def test_every_command_that_changes_something_leaves_its_record(
    platform: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with platform(**ASSEMBLY) as app:
        events = declared(app)
        silent = {path for path, event in events.items() if event is None and path[0] not in FILES}
        assert silent == HARMLESS & set(events), "a command that changes something declares its audit_event"
        assert set(MUTATING) == {path for path, event in events.items() if event is not None}
        monkeypatch.setenv("DATABASE_URL", app.database_url)
        monkeypatch.setenv("RAGWORK_PROFILE", "test")
        monkeypatch.setenv("RAGWORK_PLUGINS", "directory,apikeys,rbac,audit,wordllama,pgvector,documents")
        monkeypatch.setenv("EMBEDDING_PROVIDER", "wordllama")
        monkeypatch.chdir(tmp_path)
        services = app.platform.facades["documents"]
        for path, typed in MUTATING.items():
            async with services.db.tenant("t1", "read") as tx:
                before = await tx.fetchval("SELECT COALESCE(max(id), 0) FROM audit.events")
            await typed(app, tmp_path)
            async with services.db.tenant("t1", "read") as tx:
                rows = await tx.fetch("SELECT * FROM audit.events WHERE id > $1", before)
            own = [row for row in rows if row["event_type"] == events[path]]
            assert own, (path, [row["event_type"] for row in rows])
            assert {(row["actor_type"], row["actor_id"]) for row in own} == {("system", ACTOR)}
            assert all(row["resource_id"] for row in own)


async def test_what_an_operator_looked_at_is_on_record_without_the_values(
    platform: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with platform(plugins=(*DEFAULT_PLUGINS, "audit")) as app:
        monkeypatch.setenv("DATABASE_URL", app.database_url)
        monkeypatch.setenv("RAGWORK_PROFILE", "test")
        monkeypatch.setenv("RAGWORK_PLUGINS", ",".join((*DEFAULT_PLUGINS, "audit")))
        monkeypatch.setenv("EMBEDDING_PROVIDER", "wordllama")
        monkeypatch.chdir(tmp_path)
        await key(app)  # makes the tenant
        await list_data(app, tmp_path)
        await export_data(app, tmp_path)
        async with app.platform.parts.db.tenant("t1", "read") as tx:
            rows = await tx.fetch("SELECT * FROM audit.events WHERE event_type LIKE 'data.%' ORDER BY id")
    assert [(row["event_type"], json.loads(row["metadata"])) for row in rows] == [
        ("data.listed", {"filtered_by": ["status"], "rows": 0}),
        ("data.exported", {"subject_type": "user", "subject_id": "u"}),
    ]


async def test_a_command_that_fails_leaves_no_record(platform: Callable[..., Any]) -> None:
    """Effect and record are one transaction: a successor is made once."""
    async with platform(plugins=("directory", "apikeys", "rbac", "audit")) as app:
        key_id = await key(app)
        await app.command("keys", "rotate", key_id=key_id)
        with pytest.raises(Problem, match="rotated before"):
            await app.command("keys", "rotate", key_id=key_id)
        async with app.platform.facades["apikeys"].db.tenant("t1", "read") as tx:
            count = await tx.fetchval(
                "SELECT count(*) FROM audit.events WHERE event_type = 'auth.api_key.rotated'"
            )
        assert count == 1


def test_the_operator_is_who_the_system_says_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOGNAME", "mallory")
    monkeypatch.setenv("USER", "mallory")
    assert operator(os.getuid()) == ACTOR
    assert operator(4_000_000) == "operator:4000000"
