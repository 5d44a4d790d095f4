"""A read scope means over this schema what the algebra says."""

import pytest
import pytest_asyncio
from hypothesis import example, given
from ragwork_hooks.authz import ReadableBy
from ragwork_kernel.data.db import Pool
from ragwork_pgvector import plugin
from ragwork_pgvector.readers import readable_documents, scope_condition
from ragwork_testkit.gates import admits
from ragwork_testkit.scopes import DOCUMENTS, EXPIRED_READER, scopes
from ragwork_toolkit.scope_sql import Parameters

TENANT = "scopes"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(index_database):
    """The index of a tenant with ``DOCUMENTS``, where the grants of ``EXPIRED_READER`` have ended."""
    codecs = plugin.ragwork_info().codecs
    pool = await Pool.open(index_database.app, size=1, statement_timeout_ms=30_000, codecs=codecs)
    async with pool.tenant(TENANT) as tx:
        await tx.execute(
            """INSERT INTO pgvector.documents (tenant_id, document_id, generation, corpus_id, version, source,
                owner, embedder, dimension, metadata, labels, chunks, terms)
            SELECT ragwork.tenant(), d.id, nextval('pgvector.generations'), 'c', 1, '',
                d.owner, '', 256, '{}', d.labels, 0, 0
            FROM jsonb_to_recordset($1::jsonb) AS d(id text, owner text, labels jsonb)""",
            [{"id": d.id, "owner": d.owner, "labels": dict(d.labels)} for d in DOCUMENTS],
        )
        await tx.execute(
            """INSERT INTO pgvector.readers (tenant_id, document_id, reader, expires_at)
            SELECT ragwork.tenant(), d.id, r, CASE WHEN r = $2 THEN now() - interval '1 minute' END
            FROM jsonb_to_recordset($1::jsonb) AS d(id text, readers jsonb),
                jsonb_array_elements_text(d.readers) AS r""",
            [{"id": d.id, "readers": sorted({*d.readers, EXPIRED_READER})} for d in DOCUMENTS],
            EXPIRED_READER,
        )
    yield pool
    await pool.close()


@pytest.mark.asyncio(loop_scope="module")
@given(scope=scopes())
@example(scope=ReadableBy(frozenset({"group:g", "tenant:t"})))  # who is on one list as two readers
async def test_the_database_reads_a_scope_as_the_algebra_means_it(pool, scope):
    parameters = Parameters()
    sql = f"SELECT d.document_id FROM pgvector.documents d WHERE {scope_condition(scope, parameters)}"
    async with pool.tenant(TENANT, "read") as tx:
        rows = await tx.fetch(sql, *parameters.values)
        parameters = Parameters()
        documents = readable_documents(parameters.bind("c", "text"), scope, parameters)
        read = await tx.fetch(f"SELECT d.document_id FROM {documents}", *parameters.values)
    admitted = {d.id for d in DOCUMENTS if admits(scope, d)}
    assert {row["document_id"] for row in rows} == admitted, scope
    assert sorted(row["document_id"] for row in read) == sorted(admitted), (
        "each once, by however many readers"
    )
