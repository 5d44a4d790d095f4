"""Key material and database roles: shared where allowed, demanded in production, never a superuser."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg
import pytest
import pytest_asyncio
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.redaction import Redactor
from ragwork_kernel.base import secrets
from ragwork_kernel.base.config import ConfigErrors, KernelConfig, SettingsLayers
from ragwork_kernel.boot import infrastructure, plugin_set
from ragwork_kernel.boot.boot import boot
from ragwork_kernel.data import migrations, roles
from ragwork_testkit.database import FreshDatabase, PostgresServer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(postgres: PostgresServer) -> AsyncIterator[FreshDatabase]:
    """One database for this module."""
    async with postgres.database([migrations.KERNEL]) as fresh:
        yield fresh


def layers(tmp_path: Path, **environ: str) -> SettingsLayers:
    return SettingsLayers.read(tmp_path, environ)


async def test_outside_production_every_process_finds_the_same_key(
    database: FreshDatabase, tmp_path: Path
) -> None:
    made = [
        await secrets.resolve(["PEPPER"], layers(tmp_path), database.app, production=False) for _ in range(3)
    ]
    assert len({keys["PEPPER"] for keys in made}) == 1
    assert len(made[0]["PEPPER"]) == secrets.MIN_BYTES
    other = await secrets.resolve(["OTHER"], layers(tmp_path), database.app, production=False)
    assert other["OTHER"] != made[0]["PEPPER"]


async def test_a_made_key_is_not_readable_by_the_application(database: FreshDatabase, tmp_path: Path) -> None:
    await secrets.resolve(["PEPPER"], layers(tmp_path), database.app, production=False)
    for dsn in (database.app, database.dispatcher):
        connection = await asyncpg.connect(dsn)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT * FROM ragwork.secrets")
        await connection.close()


async def test_a_configured_key_wins_and_is_the_same_everywhere(
    database: FreshDatabase, tmp_path: Path
) -> None:
    given = layers(tmp_path, PEPPER="x" * 32)
    keys = await secrets.resolve(["PEPPER"], given, database.app, production=True)
    assert keys == await secrets.resolve(
        ["PEPPER"], given, "postgresql://nobody@127.0.0.1:1/x", production=True
    )


async def test_a_short_key_is_refused(database: FreshDatabase, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PEPPER: has 31 characters") as refused:
        await secrets.resolve(["PEPPER"], layers(tmp_path, PEPPER="x" * 31), database.app, production=False)
    assert "x" * 31 not in str(refused.value)


async def test_production_makes_no_key_and_names_every_missing_one(
    database: FreshDatabase, tmp_path: Path
) -> None:
    with pytest.raises(ConfigErrors) as refused:
        await secrets.resolve(["B_KEY", "A_KEY"], layers(tmp_path), database.app, production=True)
    assert [(e.where, e.fix.split()[1]) for e in refused.value.errors] == [
        ("A_KEY", "/run/secrets/a_key"),
        ("B_KEY", "/run/secrets/b_key"),
    ]


def test_a_key_that_the_plugin_did_not_declare_is_out_of_reach(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="not declared"):
        secrets.KernelSecrets(layers(tmp_path), {"MINE": b"x"}, Redactor()).key("YOURS")


async def booted(tmp_path: Path, environ: Mapping[str, str]) -> None:
    async with boot(plugin_set.read(tmp_path, {"RAGWORK_PROFILE": "production", **environ}), tmp_path):
        pass


async def test_production_refuses_the_embedded_server(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL"):
        await booted(tmp_path, {"RAGWORK_PLUGINS": "directory"})


async def test_production_refuses_a_superuser_as_application(database: FreshDatabase, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="superuser, bypasses row level security") as refused:
        await booted(tmp_path, {"RAGWORK_PLUGINS": "directory", "DATABASE_URL": database.admin})
    assert "DATABASE_OWNER_URL" in refused.value.fix
    assert urlsplit(database.admin).password not in str(refused.value)


async def test_production_refuses_to_start_without_a_plugins_key(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    plugins = {"RAGWORK_PLUGINS": "directory,apikeys"}
    names = [name for p in plugin_set.read(tmp_path, plugins).plugins for name in p.info.secrets]
    async with postgres.database(plugin_set.read(tmp_path, plugins).sources()) as migrated:
        with pytest.raises(ConfigError, match=f"{names[0]}: is unset"):
            await booted(tmp_path, {**plugins, "DATABASE_URL": migrated.app})
        await booted(tmp_path, {**plugins, "DATABASE_URL": migrated.app, names[0]: "k" * 32})


async def test_production_does_not_migrate_by_itself(database: FreshDatabase, tmp_path: Path) -> None:
    both = {"DATABASE_URL": database.app, "DATABASE_OWNER_URL": database.owner}
    with pytest.raises(ConfigError, match="migrations are not applied"):
        await booted(tmp_path, {"RAGWORK_PLUGINS": "directory", **both})


@pytest.mark.parametrize("attribute", ["SUPERUSER", "BYPASSRLS"])
async def test_a_role_that_row_security_does_not_bind_is_refused(
    database: FreshDatabase, attribute: str
) -> None:
    admin = await asyncpg.connect(database.admin)
    await admin.execute(f"DROP ROLE IF EXISTS loose; CREATE ROLE loose LOGIN PASSWORD 'p' {attribute}")
    try:
        with pytest.raises(ConfigError, match="row level security"):
            await roles.check_app(roles.as_role(database.admin, "loose", "p"))
    finally:
        await admin.execute("DROP ROLE loose")
        await admin.close()
    await roles.check_app(database.app)


async def test_the_application_role_owns_nothing_and_can_make_nothing(database: FreshDatabase) -> None:
    for dsn in (database.app, database.dispatcher):
        connection = await asyncpg.connect(dsn)
        owned = await connection.fetchval(
            "SELECT count(*) FROM pg_class WHERE relowner = current_user::regrole"
        )
        assert owned == 0
        for statement in (
            "CREATE TABLE public.mine ()", "CREATE SCHEMA mine", "CREATE TEMP TABLE mine ()", "CREATE ROLE mine",
            "SET ROLE ragwork_owner", "ALTER ROLE ragwork_app BYPASSRLS", "COPY (SELECT 1) TO PROGRAM 'true'",
            "INSERT INTO ragwork.migrations VALUES ('x', 1, '', '')",
        ):  # fmt: skip
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        await connection.close()


async def test_preparing_roles_twice_changes_nothing(database: FreshDatabase) -> None:
    for _ in range(2):
        await roles.prepare(database.admin, database.urls)
    connection = await asyncpg.connect(database.app)
    await connection.close()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("postgresql+asyncpg://u:p@h:5/n", "postgresql://u:p@h:5/n"),
        ("postgres://u@h/n", "postgresql://u@h/n"),
        ("postgresql://h/n?sslmode=require", "postgresql://h/n?sslmode=require"),
    ],
)
def test_a_driver_suffix_is_taken_off(given: str, wanted: str) -> None:
    assert roles.normalise(given) == wanted


@pytest.mark.parametrize("dsn", ["mysql://h/n", "h:5432", "", "postgresql:/h", "sqlite:///x"])
def test_what_is_no_postgres_dsn_is_refused_without_being_repeated(dsn: str) -> None:
    with pytest.raises(ConfigError, match="is not a Postgres DSN"):
        roles.normalise(dsn)


def test_derived_passwords_differ_by_role_and_hide_the_administrators() -> None:
    urls = roles.derived("postgresql://admin:s%3Acret@h:5/n")
    passwords = {urlsplit(u or "").password for u in (urls.app, urls.owner, urls.dispatcher)}
    assert len(passwords) == 3
    assert not any("cret" in unquote(p or "") for p in passwords)
    assert urls == roles.derived("postgresql://admin:s%3Acret@h:5/n")


async def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    config = KernelConfig(database_url="postgresql://u:hidden@127.0.0.1:1/n")
    with pytest.raises(ConfigError, match=r"127.0.0.1:1") as refused:
        async with infrastructure.database(config, tmp_path, patience_s=0.3):
            pass
    assert "hidden" not in str(refused.value)
