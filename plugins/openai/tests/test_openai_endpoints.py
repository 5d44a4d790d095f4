"""Several services by name: each table ``[openai.NAME]`` has providers of its own, on a whole platform."""

import contextlib

import pytest
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.provider_kinds import ASR, EMBEDDING, LLM, TTS
from ragwork_testkit import openai_server
from ragwork_testkit.platform import DEFAULT_PLUGINS

PLUGINS = (*DEFAULT_PLUGINS, "openai", "resilience")
TEXT = "Every employee has 30 days of paid leave a year."
TABLES = """
[openai.eu]
base_url = "{eu}"
api_key = "{key}"
model = "eu-1"
embedding_model = "eu-e-1"
embedding_dimensions = 96

[openai.lab]
base_url = "{lab}"
model = "lab-1"
tts_model = "lab-t-1"
"""


@pytest.fixture
async def both(platform):
    """A platform with two services beside the plugin's own, which has no key; and these services."""
    async with contextlib.AsyncExitStack() as stack:
        eu, lab = [await stack.enter_async_context(openai_server.serving()) for _ in range(2)]
        tables = TABLES.format(eu=eu.base_url, lab=lab.base_url, key=openai_server.KEY)
        # A key may come from another layer than the rest of its table.
        settings = {"OPENAI_LAB_API_KEY": openai_server.KEY, "EXT_RETRY_BACKOFF_MS": "1"}
        app = await stack.enter_async_context(platform(plugins=PLUGINS, settings=settings, tables=tables))
        yield app, eu, lab


async def corpus(app, key, corpus_id, config):
    body = {"id": corpus_id, "name": corpus_id, "provider_config_json": config}
    return await app.call("POST", "/v1/corpora", key, json=body)


async def filled(app, key, corpus_id, config):
    made = await corpus(app, key, corpus_id, config)
    assert made.status == 201, made.text
    document = {"corpus_id": corpus_id, "document_id": f"d-{corpus_id}", "text": TEXT}
    await app.call("POST", "/v1/documents/text", key, json=document)
    await app.ingested(key, f"d-{corpus_id}")


async def run(app, key, corpus_id):
    body = {"session_id": "s1", "corpus_id": corpus_id, "message": "How many days of leave?"}
    return await app.call("POST", "/v1/run", key, json=body, headers={"Accept": "application/json"})


async def test_two_corpora_are_answered_by_two_services(both):
    app, eu, lab = both
    key = await app.key()
    await filled(app, key, "a", {"generation": {"provider": "openai.eu"}})
    await filled(app, key, "b", {"generation": {"provider": "openai.lab", "model": "lab-2"}})
    assert (await run(app, key, "a")).status == 200
    assert (await run(app, key, "b")).status == 200
    assert [call.body["model"] for call in eu.requests] == ["eu-1"]
    assert [call.body["model"] for call in lab.requests] == ["lab-2"]


async def test_one_service_stands_in_for_another_with_its_own_model(both):
    app, eu, lab = both
    key = await app.key()
    generation = {"provider": "openai.eu", "model": "eu-2", "fallback": ["openai.lab"]}
    await filled(app, key, "a", {"generation": generation})
    for _ in range(2):
        eu.fail("status", status=503)
    answer = await run(app, key, "a")
    assert "[1]" in answer.data["text"]
    assert [call.body["model"] for call in eu.requests] == ["eu-2", "eu-2"]
    assert [call.body["model"] for call in lab.requests] == ["lab-1"]
    metrics = (await app.call("GET", "/v1/metrics")).text
    assert 'provider_fallbacks_total{instead="openai.lab",service="openai.eu"} 1.0' in metrics


async def test_a_corpus_is_embedded_by_the_service_that_it_names(both):
    app, eu, lab = both
    await filled(app, await app.key(), "a", {"retrieval": {"embedder": "openai.eu"}})
    assert {(call.path, call.body["model"], call.body["dimensions"]) for call in eu.requests} == {
        ("/v1/embeddings", "eu-e-1", 96)
    }
    assert not lab.requests


async def test_a_table_has_a_provider_of_each_kind_that_a_model_is_named_for(both):
    app, _, lab = both
    providers = app.platform.parts.providers
    unready = {
        (kind.name, name): await providers.unready(kind, name)
        for kind in (LLM, EMBEDDING, TTS, ASR)
        for name in ("openai.eu", "openai.lab")
    }
    assert unready == {
        ("llm", "openai.eu"): None,
        ("llm", "openai.lab"): None,
        ("embedding", "openai.eu"): None,
        ("embedding", "openai.lab"): "needs OPENAI_LAB_EMBEDDING_MODEL, which is unset",
        ("tts", "openai.eu"): "needs OPENAI_EU_TTS_MODEL, which is unset",
        ("tts", "openai.lab"): None,
        ("asr", "openai.eu"): "needs OPENAI_EU_ASR_MODEL, which is unset",
        ("asr", "openai.lab"): "needs OPENAI_LAB_ASR_MODEL, which is unset",
    }
    voice = await providers.open(TTS, "openai.lab")
    await voice.synthesize("Hello.")
    assert lab.requests[0].body["model"] == "lab-t-1"
    with pytest.raises(ProviderError, match="OPENAI_LAB_EMBEDDING_MODEL") as caught:
        await providers.open(EMBEDDING, "openai.lab")
    assert caught.value.code == "EMBEDDING_CONFIG_MISSING"


async def test_who_is_not_known_or_not_ready_is_refused_with_its_own_setting(both):
    app, eu, _ = both
    key = await app.key()
    for name, said in (("openai", "needs OPENAI_API_KEY"), ("openai.ue", "did you mean 'openai.eu'?")):
        refused = await corpus(app, key, "a", {"generation": {"provider": name}})
        assert refused.status == 422
        assert said in refused.text
    await filled(app, key, "a", {"generation": {"provider": "openai.eu", "fallback": []}})
    eu.fail("status", status=401)
    failed = await run(app, key, "a")
    assert failed.code == "LLM_AUTH_ERROR"
    assert "OPENAI_EU_API_KEY" in failed.text
