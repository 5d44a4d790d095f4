"""The database's roles, and which connection string plays which.

owner migrates, app serves (owns nothing, no BYPASSRLS), dispatcher claims jobs and outbox rows across
tenants, backup reads. Outside production an administrator's DSN is enough: the roles are made with
passwords derived from it, so that every process finds the same ones without storing any.
"""

import hashlib
import hmac
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import asyncpg
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.storage import DatabaseUrls

OWNER, APP, DISPATCHER, BACKUP = (
    "ragwork_owner",
    "ragwork_app",
    "ragwork_dispatcher",
    "ragwork_backup",
)
_LOCK = 0x726F_6C65
_SELF = """SELECT rolsuper, rolbypassrls, EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'ragwork' AND c.relowner = r.oid) AS owns
    FROM pg_roles r WHERE rolname = current_user"""


def normalise(dsn: str) -> str:
    """``dsn`` without a driver suffix such as ``+asyncpg``. Raises ``ConfigError`` when it is no Postgres DSN."""
    scheme, separator, rest = dsn.partition("://")
    if scheme.partition("+")[0] not in {"postgresql", "postgres"} or not separator:
        raise ConfigError(
            "DATABASE_URL", "is not a Postgres DSN", "use postgresql://user:password@host:5432/name"
        )
    return f"postgresql://{rest}"


def as_role(dsn: str, role: str, password: str) -> str:
    """``dsn`` with another user."""
    parts = urlsplit(dsn)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{quote(password, safe='')}@{place}"))


def derived(admin_dsn: str) -> DatabaseUrls:
    """The roles' DSNs that ``prepare`` gives to a database whose administrator is ``admin_dsn``."""

    def url(role: str) -> str:
        secret = unquote(urlsplit(admin_dsn).password or "")
        password = hmac.new(secret.encode(), f"ragwork role {role}".encode(), hashlib.sha256)
        return as_role(admin_dsn, role, password.hexdigest())

    return DatabaseUrls(app=url(APP), owner=url(OWNER), dispatcher=url(DISPATCHER))


async def is_administrator(dsn: str) -> bool:
    """Whether the DSN's role may make roles."""
    connection = await _connect(dsn)
    try:
        return bool(
            await connection.fetchval(
                "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
            )
        )
    finally:
        await connection.close()


async def prepare(admin_dsn: str, urls: DatabaseUrls) -> None:
    """Make the roles and the extension with the passwords that ``urls`` carry. Idempotent."""
    connection = await _connect(admin_dsn)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            for role in (OWNER, APP, DISPATCHER, BACKUP):
                await _ensure_role(connection, role)
            for url in (urls.owner, urls.app, urls.dispatcher):
                if url is not None:
                    await _set_login(connection, url)
            await _grants(connection)
    except asyncpg.PostgresError as error:
        raise ConfigError(
            "database roles", str(error), "give a DSN whose role may create roles and extensions"
        ) from error
    finally:
        await connection.close()


async def check_app(dsn: str) -> None:
    """Refuse to serve as a role that row level security does not bind."""
    connection = await _connect(dsn)
    try:
        row = await connection.fetchrow(_SELF)
    finally:
        await connection.close()
    if row is None or row["rolsuper"] or row["rolbypassrls"] or row["owns"]:
        raise ConfigError(
            "DATABASE_URL",
            "its role is a superuser, bypasses row level security or owns the tables",
            f"connect as a plain role that is a member of {APP}, and give the owner's DSN as DATABASE_OWNER_URL",
        )


async def _ensure_role(connection: "asyncpg.Connection[Any]", role: str) -> None:
    exists = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
    if not exists:
        await connection.execute(f"CREATE ROLE {role} NOLOGIN NOSUPERUSER NOBYPASSRLS")


async def _set_login(connection: "asyncpg.Connection[Any]", url: str) -> None:
    parts = urlsplit(url)
    role, password = unquote(parts.username or ""), unquote(parts.password or "")
    if role not in {OWNER, APP, DISPATCHER}:
        return  # the operator's own role; making it a member of ours is the operator's decision
    statement = await connection.fetchval(
        "SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)", role, password
    )
    await connection.execute(statement)


async def _grants(connection: "asyncpg.Connection[Any]") -> None:
    database = await connection.fetchval("SELECT quote_ident(current_database())")
    await connection.execute(f"GRANT {OWNER} TO CURRENT_USER")
    await connection.execute(f"GRANT CREATE, CONNECT, TEMPORARY ON DATABASE {database} TO {OWNER}")
    await connection.execute(f"GRANT CONNECT ON DATABASE {database} TO {APP}, {DISPATCHER}, {BACKUP}")
    await connection.execute(f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC")
    await connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    await connection.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")


async def _connect(dsn: str) -> "asyncpg.Connection[Any]":
    try:
        return await asyncpg.connect(dsn, timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        where = urlsplit(dsn)
        place = f"{where.hostname or 'socket'}:{where.port or 5432}"
        raise ConfigError(
            "DATABASE_URL",
            f"can't connect to {place}: {error}",
            "start Postgres there or correct the DSN; unset DATABASE_URL for the embedded server",
        ) from error
