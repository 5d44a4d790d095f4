"""A read scope means over this schema what the algebra says."""

import uuid

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from ragwork_documents.permissions.acl import scope_condition
from ragwork_hooks.authz import Everything, Nothing, OwnedBy, all_of, any_of, negated
from ragwork_testkit.gates import admits
from ragwork_testkit.scopes import DOCUMENTS, EXPIRED_READER, scopes
from ragwork_toolkit.scope_sql import Parameters


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tenant(app):
    """A tenant with ``DOCUMENTS`` and their grants, of which those to ``EXPIRED_READER`` have ended."""
    tenant = f"t-{uuid.uuid4().hex[:8]}"
    async with app.platform.facades["documents"].db.tenant(tenant) as tx:
        await tx.execute(
            """INSERT INTO documents.corpora (tenant_id, id, name, provider_config, retriever, embedder,
                top_k_default, options, default_readers)
            VALUES (ragwork.tenant(), 'c', 'c', '{}', 'local_pgvector', 'wordllama', 5, '{}', '{}')"""
        )
        await tx.execute(
            """INSERT INTO documents.documents (tenant_id, id, corpus_id, filename, content_type, ingest_source,
                owner, fingerprint, blob_key, metadata, labels, chunk_size, chunk_overlap)
            SELECT ragwork.tenant(), d.id, 'c', '', '', 'text', d.owner, '', '', '{}', d.labels, 1, 0
            FROM jsonb_to_recordset($1::jsonb) AS d(id text, owner text, labels jsonb)""",
            [{"id": d.id, "owner": d.owner, "labels": dict(d.labels)} for d in DOCUMENTS],
        )
        await tx.execute(
            """INSERT INTO documents.grants (tenant_id, id, document_id, principal_type, principal_id,
                permission, expires_at)
            SELECT ragwork.tenant(), d.id || r, d.id, split_part(r, ':', 1), split_part(r, ':', 2), 'read',
                CASE WHEN r = $2 THEN now() - interval '1 minute' END
            FROM jsonb_to_recordset($1::jsonb) AS d(id text, readers jsonb),
                jsonb_array_elements_text(d.readers) AS r""",
            [{"id": d.id, "readers": sorted({*d.readers, EXPIRED_READER})} for d in DOCUMENTS],
            EXPIRED_READER,
        )
    return tenant


@pytest.mark.asyncio(loop_scope="module")
@given(scope=scopes())
async def test_the_database_reads_a_scope_as_the_algebra_means_it(app, tenant, scope):
    parameters = Parameters()
    sql = f"SELECT d.id FROM documents.documents d WHERE {scope_condition(scope, parameters)}"
    async with app.platform.facades["documents"].db.tenant(tenant, "read") as tx:
        rows = await tx.fetch(sql, *parameters.values)
    assert {row["id"] for row in rows} == {d.id for d in DOCUMENTS if admits(scope, d)}, scope


@given(a=scopes(), b=scopes(), document=st.sampled_from(DOCUMENTS))
def test_constructors_keep_the_meaning(a, b, document):
    in_a, in_b = admits(a, document), admits(b, document)
    assert admits(all_of(a, b), document) == (in_a and in_b)
    assert admits(any_of(a, b), document) == (in_a or in_b)
    assert admits(negated(a), document) == (not in_a)


def test_constructors_drop_what_is_needless():
    owned = OwnedBy("ann")
    assert all_of(Everything(), owned, owned) == any_of(Nothing(), owned, owned) == owned
    assert all_of(owned, Nothing()) == Nothing()
    assert all_of() == Everything()
