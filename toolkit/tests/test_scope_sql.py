"""A scope's SQL means what the algebra says, and holds no value."""

from collections.abc import AsyncIterator

import asyncpg
import orjson
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from ragwork_hooks import authz
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.gates import admits
from ragwork_testkit.scopes import DOCUMENTS, scopes
from ragwork_toolkit import scope_sql
from ragwork_toolkit.scope_sql import Parameters


def condition(scope: authz.ReadScope) -> tuple[str, Parameters]:
    parameters = Parameters()
    sql = scope_sql.compile(
        scope, parameters, document_id="d.name", granted=lambda readers: f"d.readers && {readers}"
    )
    return sql, parameters


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connection(postgres: PostgresServer) -> AsyncIterator[asyncpg.Connection]:
    """A connection with a table of ``DOCUMENTS``."""
    connection = await asyncpg.connect(postgres.admin)
    await connection.execute("CREATE TEMPORARY TABLE d (name text, owner text, readers text[], labels jsonb)")
    await connection.executemany(
        "INSERT INTO d VALUES ($1, $2, $3, $4)",
        [(d.id, d.owner, sorted(d.readers), orjson.dumps(dict(d.labels)).decode()) for d in DOCUMENTS],
    )
    yield connection
    await connection.close()


@pytest.mark.asyncio(loop_scope="module")
@given(scope=scopes())
async def test_the_database_finds_what_the_algebra_admits(
    connection: asyncpg.Connection, scope: authz.ReadScope
) -> None:
    sql, parameters = condition(scope)
    rows = await connection.fetch(f"SELECT name FROM d WHERE {sql}", *parameters.values)
    assert {row["name"] for row in rows} == {d.id for d in DOCUMENTS if admits(scope, d)}, scope


@given(value=st.text(max_size=20).map(lambda text: f"'{text}"))
def test_no_value_enters_the_text(value: str) -> None:
    def scope(value: str) -> authz.ReadScope:
        values = frozenset({value})
        return authz.AllOf(
            (
                authz.AnyOf((authz.OwnedBy(value), authz.Nothing())),
                authz.Not(authz.LabelIn(value, values)),
                authz.ReadableBy(values),
            )
        )

    sql, parameters = condition(scope(value))
    assert sql == condition(scope("x"))[0]
    assert parameters.values == [value, value, [value], [value]]


def test_no_parts_are_all_and_none() -> None:
    assert condition(authz.AllOf(()))[0] == condition(authz.Everything())[0] == "true"
    assert condition(authz.AnyOf(()))[0] == condition(authz.Nothing())[0] == "false"


def test_parameters_go_on_where_the_statement_stands() -> None:
    parameters = Parameters()
    assert parameters.bind(5, "bigint") == "$1::bigint"
    sql = scope_sql.compile(authz.OwnedBy("ann"), parameters, document_id="d.id", granted=str)
    assert (sql, parameters.values) == ("d.owner = $2::text", [5, "ann"])
