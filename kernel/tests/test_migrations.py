"""Migrations: linear, checksummed, all or nothing, one migrator at a time, releases side by side."""

import asyncio
from pathlib import Path

import asyncpg
import pytest
from ragwork_hooks.errors import ConfigError
from ragwork_kernel.data import migrations, roles
from ragwork_kernel.data.migrations import KERNEL, Source
from ragwork_testkit.database import FreshDatabase, PostgresServer, on_database

TABLE = "-- kind: expand\nCREATE TABLE demo.things (id int PRIMARY KEY);\nGRANT SELECT ON demo.things TO ragwork_app;\n"


@pytest.fixture
def source(tmp_path: Path) -> Source:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_things.sql").write_text(TABLE)
    return Source(plugin="demo", schema="demo", folder=folder)


def add(source: Source, name: str, text: str) -> Path:
    path = source.folder / f"{name}.sql"
    path.write_text(text)
    return path


async def columns(database: FreshDatabase) -> list[str]:
    connection = await asyncpg.connect(database.admin)
    rows = await connection.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'demo' ORDER BY ordinal_position"
    )
    await connection.close()
    return [row["column_name"] for row in rows]


async def ledger(database: FreshDatabase) -> list[tuple[str, int]]:
    connection = await asyncpg.connect(database.admin)
    rows = await connection.fetch(
        "SELECT plugin, version FROM ragwork.migrations WHERE plugin = 'demo' ORDER BY 2"
    )
    await connection.close()
    return [tuple(row) for row in rows]


async def test_what_is_pending_is_applied_once_and_then_served(
    database: FreshDatabase, source: Source
) -> None:
    with pytest.raises(ConfigError, match=r"1 migrations are not applied .*demo 0001_things"):
        await migrations.verify(database.app, [KERNEL, source])
    assert [m.name for m in await migrations.migrate(database.owner, [KERNEL, source])] == ["0001_things"]
    assert await migrations.migrate(database.owner, [KERNEL, source]) == []
    await migrations.verify(database.app, [KERNEL, source])
    app = await asyncpg.connect(database.app)
    assert await app.fetch("SELECT * FROM demo.things") == []
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.execute("DROP TABLE demo.things")
    await app.close()


async def test_an_empty_database_is_brought_up_from_nothing(postgres: PostgresServer, source: Source) -> None:
    await postgres.run("DROP DATABASE IF EXISTS from_nothing WITH (FORCE)")
    await postgres.run("CREATE DATABASE from_nothing")
    admin = on_database(postgres.admin, "from_nothing")
    urls = roles.derived(admin)
    await roles.prepare(admin, urls)
    ran = await migrations.migrate(urls.owner or "", [KERNEL, source])
    assert [m.plugin for m in ran] == ["kernel"] * (len(ran) - 1) + ["demo"]
    await migrations.verify(urls.app, [KERNEL, source])
    await postgres.run("DROP DATABASE from_nothing WITH (FORCE)")


async def test_a_dry_run_names_the_work_and_changes_nothing(database: FreshDatabase, source: Source) -> None:
    assert [m.name for m in await migrations.migrate(database.owner, [source], dry_run=True)] == [
        "0001_things"
    ]
    assert (await columns(database), await ledger(database)) == ([], [])
    connection = await asyncpg.connect(database.admin)
    assert await connection.fetchval("SELECT to_regnamespace('demo')") is None
    await connection.close()


async def test_an_edited_migration_is_refused_by_migrate_and_by_serve(
    database: FreshDatabase, source: Source
) -> None:
    await migrations.migrate(database.owner, [source])
    add(source, "0001_things", TABLE + "-- a comment\n")
    for check in (migrations.migrate(database.owner, [source]), migrations.verify(database.app, [source])):
        with pytest.raises(ConfigError, match=r"demo 0001_things.*differs from the text that was applied"):
            await check


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("0003_gap", TABLE, "breaks the numbering"),
        ("0001_again", TABLE, "breaks the numbering"),
        ("2_short", TABLE, "breaks the numbering"),
        ("0002_Upper", TABLE, "breaks the numbering"),
        ("0002_no_kind", "CREATE TABLE demo.x ();\n", "names no kind"),
        ("0002_bad_kind", "-- kind: shrink\n", "names no kind"),
    ],
)
async def test_a_gap_a_bad_name_and_a_missing_kind_are_refused_before_anything_runs(
    database: FreshDatabase, source: Source, name: str, text: str, message: str
) -> None:
    add(source, name, text)
    with pytest.raises(ConfigError, match=message):
        await migrations.migrate(database.owner, [source])
    assert await ledger(database) == []


@pytest.mark.parametrize(("kind", "served"), [("expand", True), ("contract", False)])
async def test_an_older_release_serves_what_a_newer_one_expanded_not_what_it_contracted(
    database: FreshDatabase, source: Source, kind: str, served: bool
) -> None:
    newer = add(source, "0002_more", f"-- kind: {kind}\nALTER TABLE demo.things ADD note text;\n")
    await migrations.migrate(database.owner, [source])
    newer.unlink()
    if served:
        await migrations.verify(database.app, [source])
        assert await migrations.migrate(database.owner, [source]) == []
        return
    for check in (migrations.migrate(database.owner, [source]), migrations.verify(database.app, [source])):
        with pytest.raises(ConfigError, match="contracted by a newer release"):
            await check


async def test_a_failing_migration_leaves_nothing_and_names_itself(
    database: FreshDatabase, source: Source
) -> None:
    add(source, "0002_broken", "-- kind: expand\nALTER TABLE demo.things ADD note text;\nSELECT 1/0;\n")
    add(source, "0003_never", "-- kind: expand\nALTER TABLE demo.things ADD other text;\n")
    with pytest.raises(ConfigError, match=r"demo 0002_broken.*division by zero"):
        await migrations.migrate(database.owner, [source])
    assert (await columns(database), await ledger(database)) == (["id"], [("demo", 1)])
    add(source, "0002_broken", "-- kind: expand\nALTER TABLE demo.things ADD note text;\n")
    assert len(await migrations.migrate(database.owner, [source])) == 2
    assert await columns(database) == ["id", "note", "other"]


async def test_a_migration_outside_a_transaction_may_build_an_index_concurrently(
    database: FreshDatabase, source: Source
) -> None:
    index = "CREATE INDEX CONCURRENTLY things_idx ON demo.things (id);\n"
    add(source, "0002_index", "-- kind: expand no-transaction\n" + index)
    assert len(await migrations.migrate(database.owner, [source])) == 2


async def test_two_migrators_at_once_apply_each_migration_once(
    database: FreshDatabase, source: Source
) -> None:
    for n in range(2, 8):
        add(
            source,
            f"{n:04d}_more",
            f"-- kind: expand\nALTER TABLE demo.things ADD c{n} int; SELECT pg_sleep(0.02);\n",
        )
    ran = await asyncio.gather(*(migrations.migrate(database.owner, [source]) for _ in range(3)))
    assert sorted(len(r) for r in ran) == [0, 0, 7]
    assert await ledger(database) == [("demo", n) for n in range(1, 8)]


async def test_a_migrator_that_dies_leaves_no_lock(database: FreshDatabase, source: Source) -> None:
    add(source, "0002_slow", "-- kind: expand\nSELECT pg_sleep(30);\n")
    task = asyncio.create_task(migrations.migrate(database.owner, [source]))
    await asyncio.sleep(0.4)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    add(source, "0002_slow", "-- kind: expand\nSELECT 1;\n")
    async with asyncio.timeout(3):
        await migrations.migrate(database.owner, [source])
    assert await ledger(database) == [("demo", 1), ("demo", 2)]


@pytest.mark.parametrize("schema", ["Demo", 'x"; DROP SCHEMA ragwork; --', "", "1x", "x" * 42])
async def test_a_schema_name_that_is_not_plain_is_refused(
    database: FreshDatabase, source: Source, schema: str
) -> None:
    hostile = Source(plugin="demo", schema=schema, folder=source.folder)
    with pytest.raises(ConfigError, match="plain lower-case name"):
        await migrations.migrate(database.owner, [hostile])
