"""One question to several corpora: a fair merge, and a corpus that fails does not take the others along."""

import uuid

import pytest
from ragwork_documents.permissions.permission_recheck import SPARE
from ragwork_documents.search.rank_fusion import merge
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.retrieval import Passage

pytestmark = pytest.mark.asyncio(loop_scope="module")


def passages(*texts, score=1.0):
    return [
        Passage(document_id=f"doc {t}", chunk_id=f"{n}", text=t, score=score / n, source=t)
        for n, t in enumerate(texts, 1)
    ]


def texts(found):
    return [f.passage.text for f in found]


async def ask(it, key, ids, query="secret text", **more):
    body = {"corpus_ids": ids, "query": query, **more}
    return await it.app.call("POST", "/v1/retrieve", key, json=body)


async def two(it):
    """A local corpus and one of a remote engine, each with a document."""
    name = f"engine-{uuid.uuid4().hex[:8]}"
    engine = it.offer(name, it.engine("far"))
    owner = await it.key("ann")
    await it.corpus(owner, "near")
    await it.corpus(owner, "far", {"retrieval": {"provider": name, "top_k_default": 7}})
    await it.indexed(owner, "secret text that is near", "near", corpus_id="near")
    await it.indexed(owner, "anything", "far", corpus_id="far")
    return engine, owner


async def test_several_corpora_answer_as_one_within_rights(it):
    engine, owner = await two(it)
    answer = await ask(it, owner, ["near", "far"])
    assert answer.status == 200, answer.text
    assert [(p["corpus_id"], p["document_id"]) for p in answer.data["passages"]] == [
        ("near", "near"),
        ("far", "far"),
    ]
    assert answer.data["failed"] == []
    assert engine.asked[0].top_k == 7 + SPARE
    first, second = answer.data["passages"]
    assert 1.0 >= first["score"] > second["score"] > 0
    assert (await ask(it, await it.key("bob"), ["near", "far"])).data["passages"] == []
    assert len((await ask(it, owner, ["near", "far"], top_k=1)).data["passages"]) == 1
    one = (await it.retrieve(owner, "secret text", "near")).data
    assert (one["passages"][0]["corpus_id"], one["failed"]) == ("near", [])


async def test_a_failing_corpus_is_named_and_only_all_failing_is_an_error(it):
    engine, owner = await two(it)
    engine.error = ProviderError("AWS_RETRIEVAL_ERROR", "away", retry_after_s=3)
    answer = await ask(it, owner, ["far", "near"])
    assert answer.status == 200
    assert [p["corpus_id"] for p in answer.data["passages"]] == ["near"]
    assert answer.data["failed"] == [{"corpus_id": "far", "code": "AWS_RETRIEVAL_ERROR"}]
    name = f"engine-{uuid.uuid4().hex[:8]}"
    it.offer(name, it.engine()).error = ProviderError("VERTEX_RETRIEVAL_ERROR", "also")
    await it.corpus(owner, "gone", {"retrieval": {"provider": name}})
    answer = await ask(it, owner, ["far", "gone"])
    assert (answer.status, answer.code) == (503, "AWS_RETRIEVAL_ERROR")
    assert answer.headers["Retry-After"] == "3"


async def test_one_way_to_name_corpora_is_needed_and_ids_are_checked(it):
    owner = await it.key("ann")
    await it.corpus(owner)
    for named in ({}, {"corpus_id": "c", "corpus_ids": ["c", "d"]}, {"corpus_id": None}):
        answer = await it.app.call("POST", "/v1/retrieve", owner, json={"query": "x", **named})
        assert (answer.status, answer.code) == (422, "REQUEST_VALIDATION_ERROR")
        assert "exactly one of corpus_id and corpus_ids" in answer.text
    for ids in ([], ["c"], [f"c{n}" for n in range(9)], ["c", "c"], ["c", ""], ["c", "x" * 129], ["c", "\0"]):
        answer = await ask(it, owner, ids)
        assert (answer.status, answer.code) == (422, "REQUEST_VALIDATION_ERROR"), ids
        assert answer.body["error"]["details"]["errors"][0]["loc"][:2] == ["body", "corpus_ids"]
    assert (await ask(it, owner, ["c", 5])).status == 422
    assert (await ask(it, owner, ["c", "none"])).status == 404


async def test_a_corpus_that_has_nothing_on_the_question_sinks_whatever_its_scores(it):
    off = passages("bread rises", "ovens bake", "flour is white", score=1.0)
    on = passages("lock gates close at tide", "the tide turns at night", "a gate", score=0.2)
    found = merge("when does the tide close the gates", [("off", off), ("on", on)], 5, distinct=False)
    assert texts(found)[:2] == ["lock gates close at tide", "the tide turns at night"]
    assert found[0].passage.score == pytest.approx(1.0)
    scores = [f.passage.score for f in found]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) > 0


async def test_without_common_words_corpora_take_turns_in_the_order_asked(it):
    found = merge("潮", [("a", passages("x1", "x2")), ("b", passages("y1", "y2"))], 3, distinct=False)
    assert texts(found) == ["x1", "y1", "x2"]
    assert merge("x", [("a", [])], 5, distinct=False) == []


async def test_the_same_text_or_document_appears_once(it):
    a = passages("the tide", "other words")
    b = [
        *passages("the  tide\n"),
        Passage(document_id="doc other words", chunk_id="9", text="z", score=0, source=""),
    ]
    assert texts(merge("tide", [("a", a), ("b", b)], 9, distinct=False)) == ["the tide", "other words", "z"]
    assert texts(merge("tide", [("a", a), ("b", b)], 9, distinct=True)) == ["the tide", "other words"]
