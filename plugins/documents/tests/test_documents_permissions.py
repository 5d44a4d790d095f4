"""Who reaches a document, through every door, before and after a grant."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from ragwork_documents.permissions.permission_recheck import PermissionCheckedRetriever
from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.authz import ReadableBy
from ragwork_hooks.documents import DocumentCatalog
from ragwork_hooks.retrieval import Passage, Query

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def doors(it, key, document_id="d1"):
    """The status of each way to a document, and whether lists and retrieval show it."""
    path = f"/v1/documents/{document_id}"
    listed = await it.app.call("GET", "/v1/documents", key)
    found = await it.passages(key, "secret text")
    return {
        "get": (await it.app.call("GET", path, key)).status,
        "listed": document_id in [d["id"] for d in listed.data],
        "found": document_id in [p["document_id"] for p in found],
        "write": (await it.ingest(key, "secret text", document_id)).status,
        "reindex": (await it.app.call("POST", f"{path}/reindex", key, json={"chunk_size_chars": 0})).status,
    }


CLOSED = {"get": 403, "listed": False, "found": False, "write": 403}


async def test_without_a_grant_no_role_reaches_a_document_and_a_revoke_holds(it):
    owner, admin = await it.key("ann"), await it.key("root", "admin")
    editor, reader = await it.key("bob"), await it.key("rita", "reader")
    await it.corpus(owner)
    await it.indexed(owner, "secret text", "d1")
    for key in (editor, admin):
        seen = await doors(it, key)
        assert {name: seen[name] for name in CLOSED} == CLOSED
        for method, path in (("DELETE", ""), ("POST", "/reindex")):
            answer = await it.app.call(method, f"/v1/documents/d1{path}", key)
            assert (answer.status, answer.code) == (403, "AUTHZ_DENIED")
    given = await it.grant(admin, "d1", "user", "rita")
    assert given.status == 201
    assert given.data["granted_by"] == "root"
    assert (await it.app.call("GET", "/v1/documents/d1", reader)).status == 200
    assert len(await it.passages(reader, "secret text")) == 1
    assert (await it.app.call("DELETE", "/v1/documents/d1", reader)).status == 403
    path = f"/v1/admin/authz/documents/d1/permissions/{given.data['id']}"
    assert (await it.app.call("DELETE", path, admin)).status == 200
    assert (await it.app.call("GET", "/v1/documents/d1", reader)).status == 403
    assert await it.passages(reader, "secret text") == []
    gone = await it.app.call("DELETE", path, admin)
    assert (gone.status, gone.code) == (404, "AUTHZ_PERMISSION_NOT_FOUND")


async def test_grants_end_by_the_databases_clock(it):
    owner, admin = await it.key("ann"), await it.key("root", "admin")
    reader = await it.key("rita", "reader")
    await it.corpus(owner)
    await it.indexed(owner, "secret text", "d1")
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    await it.grant(admin, "d1", "user", "rita", expires_at=soon)
    assert len(await it.passages(reader, "secret text")) == 1
    await asyncio.sleep(1.2)
    assert await it.passages(reader, "secret text") == []
    assert (await it.app.call("GET", "/v1/documents/d1", reader)).status == 403
    assert (await it.app.call("GET", "/v1/documents", reader)).data == []
    naive = await it.grant(admin, "d1", "user", "rita", expires_at="2099-01-01T00:00:00")
    assert naive.status == 422


@pytest.mark.parametrize("kind", ["role", "tenant"])
async def test_roles_and_the_tenant_are_readers_too(it, kind):
    name = "reader" if kind == "role" else it.tenant
    owner, admin = await it.key("ann"), await it.key("root", "admin")
    reader = await it.key("rita", "reader")
    await it.corpus(owner)
    await it.indexed(owner, "secret text", "d1")
    assert (await it.grant(admin, "d1", kind, name)).status == 201
    assert len(await it.passages(reader, "secret text")) == 1
    assert [d["id"] for d in (await it.app.call("GET", "/v1/documents", reader)).data] == ["d1"]


async def test_bad_grants_are_refused_and_bulk_is_all_or_none(it):
    owner, admin = await it.key("ann"), await it.key("root", "admin")
    await it.key("bob")
    await it.corpus(owner)
    await it.indexed(owner, "secret text", "d1")
    for kind, name in (("tenant", it.other), ("role", "root"), ("robot", "x"), ("user", "")):
        assert (await it.grant(admin, "d1", kind, name)).status == 422
    assert (await it.grant(owner, "d1", "user", "x")).status == 403
    assert (await it.grant(admin, "nope", "user", "x")).status == 404
    path = "/v1/admin/authz/documents/d1/permissions"
    entry = {"principal_type": "user", "principal_id": "bob", "permission": "write"}
    wrong = {"permissions": [entry, {**entry, "principal_type": "tenant"}]}
    assert (await it.app.call("POST", f"{path}/bulk", admin, json=wrong)).status == 422
    assert (await it.app.call("POST", f"{path}/bulk", admin, json={"permissions": []})).status == 422
    assert len((await it.app.call("GET", path, admin)).data["items"]) == 1
    both = {"permissions": [entry, {**entry, "permission": "read"}, entry]}
    answer = await it.app.call("POST", f"{path}/bulk", admin, json=both)
    assert answer.status == 201
    assert [i["permission"] for i in answer.data["items"]] == ["write", "read", "write"]
    assert len((await it.app.call("GET", path, admin)).data["items"]) == 3


async def test_default_readers_apply_to_new_documents_only(it):
    owner, reader = await it.key("ann"), await it.key("rita", "reader")
    await it.corpus(owner)
    await it.indexed(owner, "secret text one", "d1")
    config = {"acl": {"default_readers": ["tenant"]}}
    patched = await it.app.call("PATCH", "/v1/corpora/c", owner, json={"provider_config_json": config})
    assert patched.status == 200
    await it.indexed(owner, "secret text two", "d2")
    assert [p["document_id"] for p in await it.passages(reader, "secret text")] == ["d2"]


async def test_a_foreign_document_answers_like_a_missing_one(it):
    owner, foreign = await it.key("ann"), await it.key("eve", "admin", tenant=it.other)
    await it.corpus(owner)
    await it.indexed(owner, "secret text", "d1")
    for method, path in (
        ("GET", "/v1/documents/{}"),
        ("DELETE", "/v1/documents/{}"),
        ("POST", "/v1/documents/{}/reindex"),
        ("GET", "/v1/admin/authz/documents/{}/permissions"),
    ):
        real = await it.app.call(method, path.format("d1"), foreign)
        none = await it.app.call(method, path.format("d9"), foreign)
        assert real.status == none.status == 404
        errors = real.body["error"], none.body["error"]
        assert str(errors[0]).replace("'d1'", "'d9'") == str(errors[1])
    assert (await it.retrieve(foreign, "secret")).status == 404
    await it.corpus(foreign)
    assert (await it.ingest(foreign, "my own", "d1")).status == 202
    assert (await it.settled(owner, "d1"))["tenant_id"] == it.tenant


async def test_administrators_bypass_only_where_it_is_set(api):
    async with api(AUTHZ_ADMIN_BYPASS_DOCUMENT_ACL="true") as it:
        owner, admin, editor = await it.key("ann"), await it.key("root", "admin"), await it.key("bob")
        await it.corpus(owner)
        await it.indexed(owner, "secret text", "d1")
        assert (await it.app.call("GET", "/v1/documents/d1", admin)).status == 200
        assert len(await it.passages(admin, "secret text")) == 1
        assert await it.passages(editor, "secret text") == []


class Lagging:
    """An index outside the database that has not heard of anything yet."""

    def __init__(self, *document_ids, transactional=False):
        self.transactional = transactional
        self._passages = [
            Passage(document_id=d, chunk_id=f"{d}:0", text="secret text", score=0.5, source=d)
            for d in document_ids
        ]

    async def prepare(self, tenant_id, query):
        return self

    async def passages(self, tx, scope):
        return self._passages


async def test_passages_of_a_lagging_index_are_held_against_the_grants(it):
    owner, admin = await it.key("ann"), await it.key("root", "admin")
    await it.corpus(owner)
    for document_id in ("d1", "d2"):
        await it.indexed(owner, f"secret text {document_id}", document_id)
    assert (await it.grant(admin, "d1", "user", "rita", create=True)).status == 201
    metrics = it.app.platform.facades["documents"].metrics
    query = Query(corpus_id="c", text="secret", top_k=5, embedder="wordllama")
    scope = ReadableBy(frozenset({"user:rita"}))
    for transactional, expected in ((False, ["d1"]), (True, ["d1", "d2", "deleted"])):
        inner = Lagging("d1", "d2", "deleted", transactional=transactional)
        prepared = await PermissionCheckedRetriever("lagging", inner, metrics).prepare(it.tenant, query)
        async with it.app.platform.parts.db.tenant(it.tenant, "read") as tx:
            found = await prepared.passages(tx, scope)
        assert [passage.document_id for passage in found] == expected
    text = (await it.app.call("GET", "/v1/metrics")).text
    assert 'passages_blocked_total{retriever="lagging"} 2.0' in text


async def test_what_the_check_keeps_back_is_filled_up_to_k(it):
    owner, admin = await it.key("ann"), await it.key("root", "admin")
    await it.corpus(owner)
    wanted = [f"d{n}" for n in range(3)]
    for document_id in wanted:
        await it.indexed(owner, f"secret text {document_id}", document_id)
        assert (await it.grant(admin, document_id, "user", "rita", create=True)).status == 201

    class Ranking(Lagging):
        """Gives as many as it is asked for, the forbidden ones first."""

        async def prepare(self, tenant_id, query):
            self._passages = self._passages[: query.top_k]
            return self

    inner = Ranking(*(f"gone{n}" for n in range(10)), *wanted)
    metrics = it.app.platform.facades["documents"].metrics
    query = Query(corpus_id="c", text="secret", top_k=2, embedder="wordllama")
    prepared = await PermissionCheckedRetriever("lagging", inner, metrics).prepare(it.tenant, query)
    async with it.app.platform.parts.db.tenant(it.tenant, "read") as tx:
        found = await prepared.passages(tx, ReadableBy(frozenset({"user:rita"})))
    assert [passage.document_id for passage in found] == wanted[:2]


async def test_the_catalogue_says_what_a_principal_may_read(it):
    owner = await it.key("ann")
    await it.corpus(owner)
    await it.indexed(owner, "secret text", "d1")
    catalog = it.app.platform.facades["documents"].use(DocumentCatalog)
    async with it.app.platform.parts.db.tenant(it.tenant, "read") as tx:
        for user, expected in (("ann", {"d1"}), ("bob", set())):
            caller = Principal(
                tenant_id=it.tenant, user_id=user, credential_id="k", kind="api_key", role=Role.ADMIN
            )
            assert await catalog.readable(tx, caller, ["d1", "d2"]) == expected
    assert (await catalog.corpus(it.tenant, "c")).embedder == "wordllama"
    assert await catalog.corpus(it.other, "c") is None
