"""Documents keep the contract of data stores."""

import pytest
from ragwork_hooks.authz import Everything
from ragwork_hooks.governance import Subject
from ragwork_testkit.data_store import DataStoreContract
from ragwork_toolkit.data_table import DataTable

#: Everything that is made of a document, wherever it is kept.
COPIES = """SELECT (SELECT count(*) FROM documents.documents) + (SELECT count(*) FROM documents.grants)
    + (SELECT count(*) FROM pgvector.documents) + (SELECT count(*) FROM pgvector.chunks)
    + (SELECT count(*) FROM pgvector.readers) + (SELECT count(*) FROM ragwork.blobs)"""


class TestDocumentStore(DataStoreContract):
    store = "documents"
    key = ("id",)
    settings = {"INGEST_EXECUTION_MODE": "inline"}  # noqa: RUF012  # a kit's setting

    async def add(self, tenant, user, count):
        key = await self.app.key(tenant=tenant, role="editor", user=user)
        await self.app.call("POST", "/v1/corpora", key, json={"id": "c", "name": "c"})
        for _ in range(count):
            body = {"corpus_id": "c", "text": f"A text of {user}, which is rather short."}
            answer = await self.app.call("POST", "/v1/documents/text", key, json=body)
            assert answer.data["status"] == "succeeded", answer.text

    async def listed(self, tenant, user):
        key = await self.app.key(tenant=tenant, role="editor", user=user)
        answer = await self.app.call("GET", "/v1/documents?limit=200", key)
        return {(document["id"],) for document in answer.data}

    async def age(self, tx, user, days):
        await tx.execute(
            """UPDATE documents.documents SET created_at = created_at - make_interval(days => $2)
            WHERE owner = $1""",
            user,
            days,
        )

    async def copies(self, tx):
        return await tx.fetchval(COPIES)

    def subject_of(self, row):
        return Subject(kind="document", id=row["id"])


@pytest.fixture
async def kit(platform):
    """The contract over a store of a platform of its own, to be called by hand."""
    kit = TestDocumentStore()
    async with platform(plugins=kit.plugins, settings=kit.settings) as app:
        kit.use(app)
        yield kit


@pytest.mark.parametrize("forgetful", ["page", "facets"])
async def test_a_list_that_forgets_its_scope_breaks_the_contract(kit, forgetful):
    listed = getattr(kit.data, forgetful)

    async def leaking(tx, _scope, *args, **more):
        return await listed(tx, Everything(), *args, **more)

    setattr(kit.data, forgetful, leaking)
    with pytest.raises(AssertionError):
        await kit.test_a_reader_sees_what_the_list_routes_show()


async def test_a_table_that_forgets_its_scope_breaks_the_contract(kit, monkeypatch):
    monkeypatch.setattr(DataTable, "where", lambda *_: "d.tenant_id = ragwork.tenant()")
    with pytest.raises(AssertionError):
        await kit.test_a_reader_sees_what_the_list_routes_show()
    with pytest.raises(AssertionError):
        await kit.test_an_export_is_the_subjects_and_nobody_elses()
