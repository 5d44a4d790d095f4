"""A platform whose corpus is reranked by a service over HTTP."""

import asyncio

import pytest
from ragwork_hooks.errors import ConfigError
from ragwork_testkit.platform import DEFAULT_PLUGINS, running
from ragwork_testkit.rerank_server import KEY

#: Best by its beginning to the first ranking, best by the question's words to the service.
TEXTS = {
    "d1": "Tide tables, tide clocks and tide gauges: all about the tide.",
    "d2": "The lock gates close when the tide is low.",
}


def settings(server):
    return {
        "RERANK_URL": server.url,
        "RERANK_API_KEY": KEY,
        "RERANK_FORMAT": "tei",
        "EGRESS_ALLOW_PRIVATE": "127.0.0.0/8",
    }


async def corpus(app, key, retrieval):
    body = {"id": "c", "name": "c", "provider_config_json": {"retrieval": retrieval}}
    assert (await app.call("POST", "/v1/corpora", key, json=body)).status == 201
    for document_id, text in TEXTS.items():
        sent = {"corpus_id": "c", "document_id": document_id, "text": text}
        assert (await app.call("POST", "/v1/documents/text", key, json=sent)).status == 202
        await succeeded(app, key, document_id)


async def succeeded(app, key, document_id):
    for _ in range(400):
        if (await app.call("GET", f"/v1/documents/{document_id}", key)).data["status"] == "succeeded":
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{document_id} was not indexed")


async def test_a_corpus_is_reranked_by_the_service_and_does_without_it_when_it_is_away(postgres, server):
    async with running(postgres, (*DEFAULT_PLUGINS, "rerank"), settings(server)) as app:
        key = await app.key("t1")
        await corpus(app, key, {"reranker": "rerank", "rerank_budget_ms": 10_000, "lexical_weight": 1.0})
        ask = {"corpus_id": "c", "query": "lock gates close low tide", "top_k": 1}
        found = (await app.call("POST", "/v1/retrieve", key, json=ask)).data
        assert [(p["document_id"], p["rerank"]) for p in found["passages"]] == [("d2", 1.0)]
        assert found["not_reranked"] == []
        (path, body) = server.requests[-1]
        assert (path, sorted(body["texts"])) == ("/rerank", sorted(TEXTS.values()))
        server.fail(status=500)
        found = (await app.call("POST", "/v1/retrieve", key, json=ask)).data
        assert [p["rerank"] for p in found["passages"]] == [None]
        assert found["not_reranked"] == [{"corpus_id": "c", "code": "INTEGRATION_UNAVAILABLE"}]


async def test_a_corpus_whose_reranker_is_gone_stops_the_boot_and_is_named(postgres, server):
    async with postgres.database([]) as fresh:
        plugins = (*DEFAULT_PLUGINS, "rerank")
        async with running(postgres, plugins, settings(server), database_url=fresh.admin) as app:
            key = await app.key("t1")
            body = {"id": "c", "name": "c", "provider_config_json": {"retrieval": {"reranker": "rerank"}}}
            assert (await app.call("POST", "/v1/corpora", key, json=body)).status == 201
        with pytest.raises(ConfigError) as refused:
            async with running(postgres, DEFAULT_PLUGINS, database_url=fresh.admin):
                raise AssertionError("it must not boot")
    assert refused.value.where == "corpus 'c' of tenant 't1'"
    assert "reranker provider 'rerank'" in refused.value.message
    assert "ragwork plugins enable rerank" in refused.value.fix
