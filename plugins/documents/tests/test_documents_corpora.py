"""Corpora over HTTP: configuration, bindings, switching the embedder, deleting."""

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEFAULT = {"retrieval": {"provider": "local_pgvector", "top_k_default": 5}}


async def test_a_corpus_is_made_listed_renamed_and_deleted(it):
    key = await it.key("ann")
    made = await it.corpus(key, "c")
    assert made["provider_config_json"] == DEFAULT
    assert made["tenant_id"] == it.tenant
    again = await it.app.call("POST", "/v1/corpora", key, json={"id": "c", "name": "x"})
    assert (again.status, again.code) == (409, "CONFLICT")
    assert (await it.app.call("GET", "/v1/corpora", key)).data == [made]
    renamed = await it.app.call("PATCH", "/v1/corpora/c", key, json={"name": "new"})
    assert renamed.data == {**made, "name": "new"}
    assert (await it.app.call("GET", "/v1/corpora/c", key)).data["name"] == "new"
    foreign = await it.key("eve", "admin", tenant=it.other)
    for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
        assert (await it.app.call(method, "/v1/corpora/c", foreign, json=body)).status == 404
    assert (await it.app.call("DELETE", "/v1/corpora/c", key)).status == 204
    assert (await it.app.call("GET", "/v1/corpora/c", key)).status == 404
    assert (await it.retrieve(key, "x")).status == 404


async def test_readers_may_not_change_corpora(it):
    reader = await it.key("rita", "reader")
    body = {"id": "c", "name": "c"}
    assert (await it.app.call("POST", "/v1/corpora", reader, json=body)).status == 403
    assert (await it.app.call("PATCH", "/v1/corpora/c", reader, json={"name": "x"})).status == 403
    assert (await it.app.call("DELETE", "/v1/corpora/c", reader)).status == 403
    assert (await it.app.call("GET", "/v1/corpora", reader)).data == []


async def test_wrong_configurations_are_422_and_change_nothing(it):
    key = await it.key("ann")
    made = await it.corpus(key)
    for config in (
        {"retrieval": {"provider": "local_pgvectr"}},
        {"retrieval": {"embedder": "nope"}},
        {"retrieval": {"top_k_default": 0}},
        {"retrieval": {"no_such_option": 1}},
        {"acl": {"default_readers": ["everybody"]}},
        {"x": 1},
    ):
        answer = await it.app.call("PATCH", "/v1/corpora/c", key, json={"provider_config_json": config})
        assert (answer.status, answer.code) == (422, "REQUEST_VALIDATION_ERROR"), answer.text
        assert answer.body["error"]["details"]["errors"][0]["loc"][1] == "provider_config_json"
    assert (await it.app.call("GET", "/v1/corpora/c", key)).data == made


async def test_another_embedder_queues_every_document_again(it):
    key = await it.key("ann")
    await it.corpus(key, config={"retrieval": {"embedder": "wordllama"}})
    before = await it.indexed(key, "a text about wings", "d1")
    async with it.app.platform.parts.db.tenant(it.tenant) as tx:
        await tx.execute("UPDATE documents.corpora SET embedder = 'an earlier one'")
    config = {"provider_config_json": {"retrieval": {"embedder": "wordllama"}}}
    assert (await it.app.call("PATCH", "/v1/corpora/c", key, json=config)).status == 200
    after = await it.settled(key, "d1")
    assert after["status"] == "succeeded"
    assert after["last_job_id"] != before["last_job_id"]
    assert len(await it.passages(key, "wings")) == 1


async def test_a_corpus_is_deleted_with_documents_only_by_who_may_delete_them(it):
    ann, bob = await it.key("ann"), await it.key("bob", "admin")
    await it.corpus(ann)
    await it.indexed(ann, "a text", "d1")
    refused = await it.app.call("DELETE", "/v1/corpora/c", bob)
    assert (refused.status, refused.code) == (403, "AUTHZ_DENIED")
    assert (await it.app.call("DELETE", "/v1/corpora/c", ann)).status == 204
    assert (await it.app.call("GET", "/v1/documents/d1", ann)).status == 404


async def test_retrieval_requests_are_checked(it):
    key = await it.key("ann")
    await it.corpus(key)
    for bad in (
        {"top_k": 0},
        {"top_k": 51},
        {"distinct": "chunk"},
        {"filter": {"a": {}}},
        {"filter": {"a": []}},
    ):
        assert (await it.retrieve(key, "x", **bad)).status == 422
    assert (await it.retrieve(key, "")).status == 422
    assert (await it.retrieve(key, "word " * 4_000)).status == 200
