"""What the database itself says: forced row level security everywhere, and an application role that can't leave it."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from ragwork_kernel.boot import plugin_set
from ragwork_kernel.data import migrations
from ragwork_testkit.database import FreshDatabase, PostgresServer

#: Tables without a tenant: nothing in them belongs to one.
NO_TENANT = {
    "ragwork.migrations",
    "ragwork.secrets",
    "ragwork.workers",
    "ragwork.schedules",
    "ragwork.jobs_log",
    # What plans there are, and what is switched off for everybody.
    "plans.plans",
    "plans.features",
    "plans.inclusions",
    "rollouts.switches",
    "rollouts.canaries",
    # How many requests a minute had, and when a chore last ran.
    "ops.traffic",
    "ops.maintenance_runs",
}
#: SECURITY DEFINER functions; each maps a credential or an id to its tenant, writes for it, or gives ids alone.
DEFINERS = {
    "agents.listed_revocations",
    "ragwork.shared_secret",
    "ragwork.enqueue",
    "ragwork.queue_depth",
    "ragwork.claim_events",
    "ragwork.retry_job",
    "apikeys.find",
    "directory.all_tenants",
    "audit.cut",
    "audit.unsealed",
    "audit.tenants",
    "documents.bound_providers",
    "documents.corpus_languages",
    "connectors.all_sources",
    "sso.tenant_of",
    "agents.tenant_of",
    "agents.published_keys",
    "agents.revoked_ids",
    "scim.find_token",
}

LINT = """
SELECT n.nspname || '.' || c.relname AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced,
    EXISTS (SELECT FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped) AS tenant,
    EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polcmd = '*' AND p.polroles = '{0}'
        AND pg_get_expr(p.polqual, p.polrelid) = '(tenant_id = ragwork.tenant())'
        AND pg_get_expr(p.polwithcheck, p.polrelid) = '(tenant_id = ragwork.tenant())') AS bound,
    NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive
        AND (p.polroles = '{0}' OR 'ragwork_app'::regrole = ANY (p.polroles))
        AND pg_get_expr(p.polqual, p.polrelid) <> '(tenant_id = ragwork.tenant())') AS only_bound,
    COALESCE((SELECT (SELECT attname FROM pg_attribute WHERE attrelid = c.oid AND attnum = i.indkey[0]) = 'tenant_id'
        FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary), false) AS keyed,
    pg_get_userbyid(c.relowner) AS owner,
    c.relkind = 'v' AND COALESCE('security_invoker=true' = ANY (c.reloptions), false) AS invoked
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'public')
  AND n.nspname NOT LIKE 'pg_toast%' AND n.nspname NOT LIKE 'pg_temp%'
"""


def findings(rows: list[asyncpg.Record]) -> set[str]:
    found = set()
    for row in rows:
        if row["owner"] != "ragwork_owner":
            found.add(f"{row['name']} belongs to {row['owner']}")
        # A view that acts as its reader is bound as the tables beneath it.
        if row["name"] in NO_TENANT or row["invoked"]:
            continue
        for check in ("tenant", "enabled", "forced", "bound", "only_bound", "keyed"):
            if not row[check]:
                found.add(f"{row['name']} fails {check}")
    return found


@pytest_asyncio.fixture
async def everything(postgres: PostgresServer) -> AsyncIterator[FreshDatabase]:
    """A database with the migrations of every installed plugin."""
    async with postgres.database(plugin_set.read(environ={}).sources()) as database:
        yield database


async def test_every_tenant_table_is_bound_by_forced_row_level_security(everything: FreshDatabase) -> None:
    connection = await asyncpg.connect(everything.admin)
    rows = await connection.fetch(LINT)
    await connection.close()
    assert len(rows) > 10
    assert findings(rows) == set()


async def test_the_lint_catches_a_broken_table_and_a_view_that_acts_as_its_owner(
    everything: FreshDatabase,
) -> None:
    connection = await asyncpg.connect(everything.owner)
    await connection.execute(
        "CREATE TABLE ragwork.leak (tenant_id text, id text, PRIMARY KEY (id, tenant_id));"
        "ALTER TABLE ragwork.leak ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY open ON ragwork.leak USING (true);"
        "CREATE VIEW ragwork.peep AS SELECT * FROM ragwork.jobs"
    )
    found = findings(await connection.fetch(LINT))
    await connection.close()
    assert found == {
        *(f"ragwork.leak fails {check}" for check in ("forced", "bound", "only_bound", "keyed")),
        *(f"ragwork.peep fails {check}" for check in ("enabled", "forced", "bound", "keyed")),
    }


async def test_definer_functions_are_few_and_pin_their_search_path(everything: FreshDatabase) -> None:
    connection = await asyncpg.connect(everything.admin)
    rows = await connection.fetch(
        """SELECT n.nspname || '.' || p.proname AS name, p.proconfig AS config,
               pg_get_userbyid(p.proowner) AS owner, has_function_privilege('public', p.oid, 'EXECUTE') AS open
           FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
           WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'public')"""
    )
    await connection.close()
    assert {row["name"] for row in rows} <= DEFINERS
    for row in rows:
        assert any(setting.startswith("search_path=") for setting in row["config"] or ()), row["name"]
        assert row["owner"] == "ragwork_owner", row["name"]
        assert not row["open"], f"{row['name']} may be called by anybody"


async def test_the_application_role_owns_nothing_and_sees_nothing_without_a_tenant(
    everything: FreshDatabase,
) -> None:
    connection = await asyncpg.connect(everything.app)
    owned = await connection.fetchval("SELECT count(*) FROM pg_class WHERE relowner = 'ragwork_app'::regrole")
    flags = await connection.fetchrow(
        "SELECT rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = current_user"
    )
    tables = await connection.fetch(
        """SELECT n.nspname || '.' || c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
           WHERE c.relkind = 'r' AND has_table_privilege(c.oid, 'SELECT')
             AND n.nspname NOT IN ('pg_catalog', 'information_schema')"""
    )
    counts = {row["name"]: await connection.fetchval(f"SELECT count(*) FROM {row['name']}") for row in tables}
    await connection.close()
    assert owned == 0
    assert flags is not None
    assert not any(flags.values())
    assert len(counts) > 8
    assert set(counts.values()) == {0}


@pytest.mark.parametrize("tenant", ["", "other", "'; --", "t1'--"])
async def test_an_insert_for_another_tenant_fails(everything: FreshDatabase, tenant: str) -> None:
    connection = await asyncpg.connect(everything.app)
    try:
        async with connection.transaction():
            await connection.execute("SELECT set_config('ragwork.tenant', $1, true)", tenant)
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                await connection.execute("INSERT INTO directory.tenants (tenant_id) VALUES ('t1')")
    finally:
        await connection.close()


async def test_migrations_apply_to_an_empty_and_to_the_previous_schema(postgres: PostgresServer) -> None:
    sources = plugin_set.read(environ={}).sources()
    async with postgres.database([]) as database:
        first = await migrations.migrate(database.owner, sources[:1])
        rest = await migrations.migrate(database.owner, sources)
        again = await migrations.migrate(database.owner, sources)
    assert {m.plugin for m in first} == {"kernel"}
    assert rest
    assert {m.plugin for m in rest}.isdisjoint({"kernel"})
    assert again == []
