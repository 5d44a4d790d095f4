"""The section ``generation`` of a corpus: checked strictly, kept in its normal form, seen by the boot."""

import pytest
import pytest_asyncio
from ragwork_hooks.errors import ConfigError
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import DEFAULT_PLUGINS, running

PLUGINS = (*DEFAULT_PLUGINS, "openai")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(postgres: PostgresServer):
    """One platform for the tests that only ask; ``openai`` has no key in it."""
    async with running(postgres, PLUGINS) as started:
        yield started


async def create(app, key, generation, corpus_id="c"):
    body = {"id": corpus_id, "name": "c", "provider_config_json": {"generation": generation}}
    return await app.call("POST", "/v1/corpora", key, json=body)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("generation", "loc", "said"),
    [
        ("openai", [], "must be an object"),
        ({"modle": "x"}, ["modle"], "did you mean 'model'?"),
        ({"provider": "fakee"}, ["provider"], "did you mean 'fake'?"),
        ({"provider": "openai"}, ["provider"], "needs OPENAI_API_KEY"),
        ({"provider": None}, ["provider"], "must be a text"),
        ({"fallback": ["fake", "openai"]}, ["fallback", 1], "needs OPENAI_API_KEY"),
        ({"fallback": "fake"}, ["fallback"], "must be a list"),
        ({"model": "../x"}, ["model"], "must match"),
        ({"model": "x" * 201}, ["model"], "at most 200"),
        ({"temperature": 2.1}, ["temperature"], "must be 2 or less"),
        ({"temperature": -0.1}, ["temperature"], "must be 0 or more"),
        ({"temperature": True}, ["temperature"], "must be a number"),
        ({"temperature": "0.2"}, ["temperature"], "must be a number"),
        ({"max_tokens": 0}, ["max_tokens"], "must be 1 or more"),
        ({"max_tokens": 100_001}, ["max_tokens"], "must be 100000 or less"),
        ({"max_tokens": 1.5}, ["max_tokens"], "must be a whole number"),
        ({"system_prompt": "x" * 8_001}, ["system_prompt"], "at most 8000"),
        ({"system_prompt": " \u200b"}, ["system_prompt"], "must not be blank"),
    ],
)
async def test_what_is_wrong_is_named_with_its_path(shared, generation, loc, said):
    refused = await create(shared, await shared.key(), generation)
    assert (refused.status, refused.code) == (422, "REQUEST_VALIDATION_ERROR"), refused.text
    [row] = refused.body["error"]["details"]["errors"]
    assert row["loc"] == ["body", "provider_config_json", "generation", *loc]
    assert said in row["msg"]


@pytest.mark.asyncio(loop_scope="module")
async def test_the_normal_form_is_what_was_said(shared):
    key = await shared.key()
    said = {
        "provider": "fake",
        "model": "vendor/model-1:free",
        "system_prompt": "\U0001f9ed" * 8_000,
        "temperature": 1,
        "max_tokens": 800,
        "fallback": ["extractive"],
    }
    made = await create(shared, key, said, "full")
    assert made.status == 201, made.text
    assert made.data["provider_config_json"]["generation"] == {**said, "temperature": 1.0}
    assert (await create(shared, key, {}, "empty")).data["provider_config_json"]["generation"] == {}
    nothing = await create(shared, key, None, "nothing")
    assert "generation" not in nothing.data["provider_config_json"]


async def test_a_model_that_is_gone_stops_the_boot_and_the_corpus_is_named(postgres: PostgresServer) -> None:
    async with postgres.database([]) as fresh:
        async with running(postgres, DEFAULT_PLUGINS, database_url=fresh.admin) as app:
            key = await app.key()
            assert (await create(app, key, {"provider": "extractive"}, "c1")).status == 201
            assert (await create(app, key, {"fallback": ["fake"]}, "c2")).status == 201
        for gone, corpus in (("extractive", "c1"), ("fake", "c2")):
            left = tuple(name for name in DEFAULT_PLUGINS if name != gone)
            settings = {"LLM_PROVIDER": "fake" if gone == "extractive" else "extractive"}
            with pytest.raises(ConfigError) as refused:
                async with running(postgres, left, settings, database_url=fresh.admin):
                    raise AssertionError("it must not boot")
            assert refused.value.where == f"corpus {corpus!r} of tenant 't1'"
            assert f"names llm provider {gone!r}" in refused.value.message
