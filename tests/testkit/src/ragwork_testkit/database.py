"""A real Postgres per test session, a fresh migrated database per test."""

import contextlib
import hashlib
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import attrs
from ragwork_embedded.server import provider
from ragwork_hooks.storage import DatabaseServer, DatabaseUrls
from ragwork_kernel.data import migrations, roles


@attrs.define
class PostgresServer:
    """One embedded server; ``admin`` is its administrator's DSN."""

    server: DatabaseServer
    admin: str

    @classmethod
    async def start(cls, folder: Path) -> "PostgresServer":
        server = provider.open(folder)
        return cls(server, await server.start())

    async def skip_fsync(self) -> None:
        """For data that need not outlive this machine; what is measured or killed keeps its server as users have it."""
        for setting in ("fsync", "full_page_writes"):
            await self.run(f"ALTER SYSTEM SET {setting} = off")
        await self.run("SELECT pg_reload_conf()")

    async def hash_passwords_once(self) -> None:
        """A platform opens twenty connections when it starts; 4,096 rounds for each, on both sides, take longest of
        all. Passwords that are set from now on have one.
        """
        await self.run("ALTER SYSTEM SET scram_iterations = 1")
        connection = await asyncpg.connect(self.admin)
        try:
            # The session's own, since a reload reaches it at some later moment.
            await connection.execute("SET scram_iterations = 1")
            await connection.execute(
                await connection.fetchval(
                    "SELECT format('ALTER ROLE CURRENT_USER PASSWORD %L', $1::text)",
                    urlsplit(self.admin).password,
                )
            )
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()

    @contextlib.asynccontextmanager
    async def database(self, sources: Sequence[migrations.Source]) -> AsyncIterator["FreshDatabase"]:
        """A database with the roles and the migrations of ``sources``, dropped afterwards."""
        template = await self._template(sources)
        name = f"t_{uuid.uuid4().hex}"
        await self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            admin = on_database(self.admin, name)
            # Grants on a database are its own: a template does not hand them on.
            await roles.prepare(admin, roles.derived(admin))
            yield FreshDatabase(admin=admin)
        finally:
            await self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    async def run(self, sql: str) -> None:
        """One statement as the administrator, outside a transaction."""
        connection = await asyncpg.connect(self.admin)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def _template(self, sources: Sequence[migrations.Source]) -> str:
        """The template for this set of migrations, made once per server."""
        text = "".join(m.checksum for source in sources for m in migrations.read(source))
        name = "tpl_" + hashlib.sha256(text.encode()).hexdigest()[:24]
        connection = await asyncpg.connect(self.admin)
        try:
            known = await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name)
        finally:
            await connection.close()
        if not known:
            await self.run(f"CREATE DATABASE {name}")
            admin = on_database(self.admin, name)
            urls = roles.derived(admin)
            await roles.prepare(admin, urls)
            if urls.owner is not None:
                await migrations.migrate(urls.owner, sources)
        return name


@attrs.frozen(kw_only=True)
class FreshDatabase:
    """A test's own database. ``admin`` also serves as ``DATABASE_URL`` outside production."""

    admin: str

    @property
    def urls(self) -> DatabaseUrls:
        return roles.derived(self.admin)

    @property
    def app(self) -> str:
        return self.urls.app

    @property
    def owner(self) -> str:
        return self.urls.owner or ""

    @property
    def dispatcher(self) -> str:
        return self.urls.dispatcher or ""


def on_database(dsn: str, name: str) -> str:
    """``dsn`` for another database of the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))
