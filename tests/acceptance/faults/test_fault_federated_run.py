"""``POST /v1/run`` over several corpora of several providers: one answer, and whoever fails is named."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import attrs
import pytest
from ragwork_testkit.platform import DEFAULT_PLUGINS, Running

Start = Callable[..., AbstractAsyncContextManager[Running]]
WHOLE = {"Accept": "application/json"}
QUESTION = "When do the gates open?"


@attrs.frozen(kw_only=True)
class Far:
    """A platform with a local corpus ``near`` and the corpus ``far`` of another provider."""

    app: Running
    key: str

    async def corpus(self, corpus_id: str, retrieval: dict[str, str] | None = None) -> None:
        """A corpus with one document, ``<corpus id>-doc``."""
        config = {"retrieval": retrieval} if retrieval else {}
        body = {"id": corpus_id, "name": corpus_id, "provider_config_json": config}
        made = await self.app.call("POST", "/v1/corpora", self.key, json=body)
        assert made.status == 201, made.text
        document = {
            "corpus_id": corpus_id,
            "text": f"The {corpus_id} gates open at noon.",
            "document_id": f"{corpus_id}-doc",
        }
        accepted = await self.app.call("POST", "/v1/documents/text", self.key, json=document)
        assert accepted.status == 202, accepted.text
        await self.app.ingested(self.key, f"{corpus_id}-doc")

    async def run(self, *corpora: str, key: str | None = None) -> Any:
        body = {"session_id": "s1", "corpus_ids": list(corpora), "message": QUESTION}
        return await self.app.call("POST", "/v1/run", key or self.key, json=body, headers=WHOLE)

    async def events(self, *corpora: str) -> list[Any]:
        body = {"session_id": "s1", "corpus_ids": list(corpora), "message": QUESTION}
        return await self.app.events("/v1/run", self.key, body)


@pytest.fixture
async def far(platform: Start, faulty: str) -> AsyncIterator[Far]:
    async with started(platform, faulty) as world:
        yield world


@asynccontextmanager
async def started(platform: Start, faulty: str) -> AsyncIterator[Far]:
    settings = {
        "LLM_PROVIDER": "extractive",
        "DEBUG_EVENTS": "true",
        "EXT_CALL_TIMEOUT_MS": "300",
        "EXT_RETRY_BACKOFF_MS": "1",
    }
    async with platform(plugins=(*DEFAULT_PLUGINS, "resilience", faulty), settings=settings) as app:
        world = Far(app=app, key=await app.key(role="editor", user="ann"))
        await world.corpus("near")
        await world.corpus("far", {"provider": faulty, "document": "far-doc"})
        yield world


async def test_an_answer_cites_corpora_of_two_providers(far: Far) -> None:
    answer = await far.run("near", "far")
    assert answer.status == 200, answer.text
    assert {(c["corpus_id"], c["document_id"]) for c in answer.data["citations"]} == {
        ("near", "near-doc"),
        ("far", "far-doc"),
    }
    assert all(0 < c["score"] <= 1 for c in answer.data["citations"])
    assert answer.data["failed"] == []
    (session,) = (await far.app.call("GET", "/v1/sessions", far.key)).data
    assert (session["corpus_id"], session["corpus_ids"]) == ("near", ["near", "far"])

    events = await far.events("near", "far")
    debug = next(e for e in events if e.type == "debug.retrieval")
    assert debug.data == {"provider": "local_pgvector,faulty", "num_chunks": 2}


async def test_one_corpus_named_in_either_way_is_the_same(far: Far) -> None:
    several = await far.run("near")
    one = await far.app.call(
        "POST",
        "/v1/run",
        far.key,
        json={"session_id": "s2", "corpus_id": "near", "message": QUESTION},
        headers=WHOLE,
    )
    assert several.data["citations"] == one.data["citations"] != []
    assert one.data["citations"][0]["corpus_id"] == "near"


@pytest.mark.parametrize("how", ["down", "hang", "crash", "wrong type", "wrong passages"])
async def test_a_provider_that_fails_is_named_and_the_others_answer(far: Far, how: str) -> None:
    await far.corpus("bad", {"provider": "faulty_too", "document": "bad-doc", "how": how})
    final = next(e for e in await far.events("bad", "near", "far") if e.type == "message.final")
    assert {c["corpus_id"] for c in final.data["citations"]} == {"near", "far"}
    code = "RETRIEVAL_ERROR" if how.startswith("wrong") else "INTEGRATION_UNAVAILABLE"
    assert final.data["failed"] == [{"corpus_id": "bad", "code": code}]


async def test_when_all_fail_the_first_error_ends_the_run(far: Far) -> None:
    for name in ("bad", "worse"):
        await far.corpus(name, {"provider": "faulty_too", "document": f"{name}-doc", "how": "down"})
    events = await far.events("bad", "worse")
    assert [e.type for e in events] == ["request.accepted", "error", "done"]
    assert events[1].data["code"] == "INTEGRATION_UNAVAILABLE"
    said = (await far.app.call("GET", "/v1/sessions/s1/messages", far.key)).data
    assert [m["role"] for m in said] == ["user"], "the question stays"


async def test_each_corpus_is_held_against_the_callers_rights(far: Far) -> None:
    stranger = await far.app.key(role="reader", user="bob")
    answer = await far.run("near", "far", key=stranger)
    assert (answer.status, answer.data["citations"]) == (200, [])
    foreign = await far.app.key(tenant="t2", role="admin")
    refused = await far.run("near", "far", key=foreign)
    assert (refused.status, refused.code) == (404, "NOT_FOUND")
    missing = await far.run("near", "nowhere")
    assert (missing.status, missing.code) == (404, "NOT_FOUND")
    (_accepted, error, _done) = await far.events("near", "nowhere")
    assert error.data["code"] == "RETRIEVAL_CONFIG_INVALID"


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"corpus_id": "near", "corpus_ids": ["far"]},
        {"corpus_id": None},
        {"corpus_ids": []},
        {"corpus_ids": [f"c{n}" for n in range(9)]},
        {"corpus_ids": ["near", "near"]},
        {"corpus_ids": ["near", "../far"]},
        {"corpus_ids": ["near", 5]},
        {"corpus_ids": "near"},
    ],
)
async def test_corpora_are_named_in_exactly_one_way(platform: Start, named: dict[str, Any]) -> None:
    async with platform() as app:
        key = await app.key()
        body = {"session_id": "s1", "message": QUESTION, **named}
        answer = await app.call("POST", "/v1/run", key, json=body)
        assert (answer.status, answer.code) == (422, "REQUEST_VALIDATION_ERROR")
        if named.get("corpus_ids") is None or "corpus_id" in named:
            assert "exactly one of corpus_id and corpus_ids" in answer.text
        else:
            (row,) = answer.body["error"]["details"]["errors"]
            assert row["loc"][:2] == ["body", "corpus_ids"]
