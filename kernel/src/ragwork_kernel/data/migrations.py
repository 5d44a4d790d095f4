"""Plain SQL migrations, per plugin: checksummed, linear, under one advisory lock.

File names are ``NNNN_what.sql``; the first line says ``-- kind: expand``, ``contract`` or
``expand no-transaction``. Kernel first, then plugins in boot order.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import attrs
from ragwork_hooks.errors import ConfigError

from ragwork_kernel.data.roles import OWNER

LOCK = 0x7261_6777  # one advisory lock for all migrations of a database
_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_KIND = re.compile(r"-- kind: (expand|contract|expand no-transaction)")
_KERNEL_FOLDER = Path(__file__).parent / "migrations"


@attrs.frozen(kw_only=True)
class Migration:
    """One file. ``kind`` is its first line's."""

    plugin: str
    version: int
    name: str
    kind: str
    sql: str
    checksum: str


@attrs.frozen(kw_only=True)
class Source:
    """One plugin's folder of migrations and the schema they own."""

    plugin: str
    schema: str
    folder: Path


@attrs.frozen(kw_only=True)
class Applied:
    """A row of the ledger."""

    plugin: str
    version: int
    checksum: str
    kind: str


KERNEL = Source(plugin="kernel", schema="ragwork", folder=_KERNEL_FOLDER)


def read(source: Source) -> list[Migration]:
    """The folder's migrations in order. Raises ``ConfigError`` for a gap, a bad name or a bad first line."""
    found = []
    for expected, path in enumerate(sorted(source.folder.glob("*.sql")), start=1):
        match = _FILE.fullmatch(path.name)
        if match is None or int(match[1]) != expected:
            raise ConfigError(str(path), "breaks the numbering", f"name it {expected:04d}_what.sql")
        sql = path.read_text(encoding="utf-8")
        kind = _KIND.fullmatch(sql.partition("\n")[0].strip())
        if kind is None:
            raise ConfigError(
                str(path),
                "its first line names no kind",
                "begin with `-- kind: expand` or `-- kind: contract`",
            )
        found.append(
            Migration(
                plugin=source.plugin,
                version=expected,
                name=path.stem,
                kind=kind[1],
                sql=sql,
                checksum=hashlib.sha256(sql.encode()).hexdigest(),
            )
        )
    return found


async def pending(connection: "asyncpg.Connection[Any]", sources: Sequence[Source]) -> list[Migration]:
    """What is not applied yet. Raises ``ConfigError`` when the database and the code disagree."""
    ledger = await _ledger(connection)
    waiting: list[Migration] = []
    for source in sources:
        files = read(source)
        applied = [row for row in ledger if row.plugin == source.plugin]
        _refuse_edited(files, applied)
        _refuse_contracted(source.plugin, files, applied)
        done = {row.version for row in applied}
        waiting.extend(m for m in files if m.version not in done)
    return waiting


async def migrate(owner_dsn: str, sources: Sequence[Source], dry_run: bool = False) -> list[Migration]:
    """Apply what is pending as the owner; the migrations that ran (or would run)."""
    async with _locked(owner_dsn) as connection:
        if not dry_run:
            await _prepare(connection)
        waiting = await pending(connection, sources)
        if not dry_run:
            for source in sources:
                await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_identifier(source.schema)}")
                await _grant_usage(connection, source)
            for migration in waiting:
                await _apply(connection, migration)
        return waiting


async def verify(app_dsn: str, sources: Sequence[Source]) -> None:
    """Raise ``ConfigError`` unless every migration of this code is applied."""
    connection = await asyncpg.connect(app_dsn)
    try:
        waiting = await pending(connection, sources)
    finally:
        await connection.close()
    if waiting:
        first = waiting[0]
        raise ConfigError(
            "database schema",
            f"{len(waiting)} migrations are not applied (first: {first.plugin} {first.name})",
            "run `ragwork migrate` with DATABASE_OWNER_URL",
        )


@asynccontextmanager
async def _locked(dsn: str) -> "AsyncIterator[asyncpg.Connection[Any]]":
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        await connection.execute(f"SET ROLE {OWNER}")
        yield connection
    finally:
        await connection.close()


async def _prepare(connection: "asyncpg.Connection[Any]") -> None:
    await connection.execute(
        """
        CREATE SCHEMA IF NOT EXISTS ragwork;
        CREATE TABLE IF NOT EXISTS ragwork.migrations (
            plugin text NOT NULL,
            version int NOT NULL,
            checksum text NOT NULL,
            kind text NOT NULL,
            applied_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (plugin, version)
        )
        """
    )


async def _ledger(connection: "asyncpg.Connection[Any]") -> list[Applied]:
    if await connection.fetchval("SELECT to_regclass('ragwork.migrations')") is None:
        return []
    rows = await connection.fetch("SELECT plugin, version, checksum, kind FROM ragwork.migrations")
    return [Applied(**dict(row)) for row in rows]


async def _grant_usage(connection: "asyncpg.Connection[Any]", source: Source) -> None:
    await connection.execute(
        f"GRANT USAGE ON SCHEMA {_identifier(source.schema)} TO ragwork_app, ragwork_dispatcher, ragwork_backup"
    )


async def _apply(connection: "asyncpg.Connection[Any]", migration: Migration) -> None:
    record = "INSERT INTO ragwork.migrations (plugin, version, checksum, kind) VALUES ($1, $2, $3, $4)"
    row = (migration.plugin, migration.version, migration.checksum, migration.kind)
    try:
        if migration.kind == "expand no-transaction":
            await connection.execute(migration.sql)
            await connection.execute(record, *row)
            return
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(record, *row)
    except asyncpg.PostgresError as error:
        raise ConfigError(
            f"migration {migration.plugin} {migration.name}",
            str(error),
            "nothing of it was applied; mend the cause and run `ragwork migrate` again",
        ) from error


def _refuse_edited(files: Sequence[Migration], applied: Sequence[Applied]) -> None:
    by_version = {m.version: m for m in files}
    for row in applied:
        file = by_version.get(row.version)
        if file is not None and file.checksum != row.checksum:
            raise ConfigError(
                f"migration {file.plugin} {file.name}",
                "differs from the text that was applied",
                "restore the file and put the change into a new migration",
            )


def _refuse_contracted(plugin: str, files: Sequence[Migration], applied: Sequence[Applied]) -> None:
    """A newer schema that only expanded is served; one that contracted is not ours any more."""
    newer = [row for row in applied if row.version > len(files)]
    if any(row.kind == "contract" for row in newer):
        raise ConfigError(
            f"schema of {plugin}",
            "was contracted by a newer release than this one",
            f"install a release of {plugin} that knows migration {max(r.version for r in newer):04d}",
        )


def _identifier(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name):
        raise ConfigError(f"schema {name!r}", "is not a plain lower-case name", "rename it")
    return name
