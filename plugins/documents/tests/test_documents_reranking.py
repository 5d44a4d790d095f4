"""The second ranking: in its order, within its budget and the caller's rights, and never in the way of an answer."""

import asyncio
import logging
import math
import time
import uuid

import pytest
from ragwork_documents.permissions.permission_recheck import SPARE
from ragwork_documents.search.second_ranking import BATCH
from ragwork_hooks.documents import DocumentCatalog
from ragwork_hooks.errors import ProviderError

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: More than one call's worth.
MANY = tuple(f"d{number:02}" for number in range(BATCH + 4))


class Backwards:
    """A reranker to which the last that the retriever found is the best. ``before`` runs ahead of each call."""

    def __init__(self, before=None, answer=None):
        self.calls = []
        self.before = before
        self.answer = answer

    async def rerank(self, question, texts):
        self.calls.append((question, list(texts)))
        if self.before is not None:
            await self.before(len(self.calls))
        if self.answer is not None:
            return self.answer(texts)
        seen = sum(len(texts) for _, texts in self.calls)
        return [(seen - len(texts) + place + 1) / 100 for place in range(len(texts))]

    @property
    def texts(self):
        return [text for _, texts in self.calls for text in texts]


async def reranked(it, engine, reranker, **options):
    """A corpus whose retriever is ``engine`` and whose reranker is ``reranker``; the reranker's name and ann's key."""
    name = f"r-{uuid.uuid4().hex[:8]}"
    it.offer(name, engine)
    it.offer(name, reranker, kind="reranker")
    ann = await it.key("ann")
    await it.corpus(ann, config={"retrieval": {"provider": name, "reranker": name, **options}})
    return name, ann


async def with_documents(it, ann, ids):
    for document_id in ids:
        await it.indexed(ann, f"text {document_id}", document_id)


def ids(answer):
    return [passage["document_id"] for passage in answer.data["passages"]]


async def metric(it, name):
    text = (await it.app.call("GET", "/v1/metrics")).text
    return [line for line in text.splitlines() if f'reranker="{name}"' in line and "_reranks_total" in line]


async def test_passages_stand_in_the_rerankers_order_and_keep_the_retrievers_scores(it):
    engine, reranker = it.engine("d1", "d2", "d3"), Backwards()
    name, ann = await reranked(it, engine, reranker, rerank_top_n=12)
    await with_documents(it, ann, ("d1", "d2", "d3"))
    answer = await it.retrieve(ann, "which?", top_k=2)
    assert ids(answer) == ["d3", "d2"]
    assert [passage["rerank"] for passage in answer.data["passages"]] == [0.03, 0.02]
    assert [passage["score"] for passage in answer.data["passages"]] == [1 / 3, 1 / 2]
    assert answer.data["not_reranked"] == []
    assert reranker.calls == [("which?", ["text of d1", "text of d2", "text of d3"])]
    assert engine.asked[-1].top_k == 12 + SPARE
    assert engine.asked[-1].reranking is None
    assert any('outcome="complete"' in line for line in await metric(it, name))


async def test_the_local_index_is_asked_for_the_candidates_too(it):
    reranker, ann = Backwards(), await it.key("ann")
    it.offer("local-test", reranker, kind="reranker")
    await it.corpus(ann, config={"retrieval": {"reranker": "local-test"}})
    for document_id in ("d1", "d2", "d3"):
        await it.indexed(ann, f"tide {document_id}", document_id)
    first = await it.retrieve(ann, "tide", top_k=1)
    assert len(reranker.texts) == 3
    assert first.data["passages"][0]["text"] == reranker.texts[-1]
    assert first.data["passages"][0]["lexical"] is not None


async def test_a_reranker_sees_only_what_the_caller_may_read(it):
    engine, reranker = it.engine("d1", "hidden", "d2", "deleted"), Backwards()
    _, ann = await reranked(it, engine, reranker)
    await with_documents(it, ann, ("d1", "d2"))
    await with_documents(it, await it.key("bob"), ("hidden",))
    answer = await it.retrieve(ann, "which?")
    assert ids(answer) == ["d2", "d1"]
    assert reranker.texts == ["text of d1", "text of d2"]


async def test_when_the_time_is_up_the_scored_stand_first_and_the_rest_in_their_order(it):
    async def linger(call):
        if call == 2:
            await asyncio.sleep(60)

    name, ann = await reranked(it, it.engine(*MANY), Backwards(linger), rerank_budget_ms=300)
    await with_documents(it, ann, MANY)
    started = time.monotonic()
    answer = await it.retrieve(ann, "which?", top_k=len(MANY))
    assert time.monotonic() - started < 5
    assert ids(answer) == [*reversed(MANY[:BATCH]), *MANY[BATCH:]]
    assert [passage["rerank"] is None for passage in answer.data["passages"]] == [False] * BATCH + [True] * 4
    assert answer.data["not_reranked"] == [{"corpus_id": "c", "code": "RERANKER_TIMEOUT"}]
    assert any('outcome="late"' in line for line in await metric(it, name))


async def test_more_than_top_n_are_not_reranked_and_follow(it):
    reranker = Backwards()
    _, ann = await reranked(it, it.engine(*MANY), reranker, rerank_top_n=3)
    await with_documents(it, ann, MANY)
    answer = await it.retrieve(ann, "which?", top_k=5)
    assert ids(answer) == ["d02", "d01", "d00", "d03", "d04"]
    assert len(reranker.texts) == 3
    assert answer.data["not_reranked"] == []


def raises(error):
    def answer(texts):
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (raises(ProviderError("RERANKER_AUTH_ERROR", "no")), "RERANKER_AUTH_ERROR"),
        (raises(RuntimeError("a bug")), "RERANKER_ERROR"),
        (lambda texts: None, "RERANKER_ERROR"),
        (lambda texts: [0.5] * (len(texts) - 1), "RERANKER_ERROR"),
        (lambda texts: ["much"] * len(texts), "RERANKER_ERROR"),
        (lambda texts: [math.nan] * len(texts), "RERANKER_ERROR"),
        (lambda texts: [1.5] * len(texts), "RERANKER_ERROR"),
    ],
)
async def test_a_failing_reranker_leaves_the_first_order_and_is_told(it, caplog, answer, code):
    name, ann = await reranked(it, it.engine("d1", "d2"), Backwards(answer=answer))
    await with_documents(it, ann, ("d1", "d2"))
    with caplog.at_level(logging.WARNING, "ragwork_documents.search.second_ranking"):
        told = await it.retrieve(ann, "secret words")
    assert (told.status, ids(told)) == (200, ["d1", "d2"])
    assert told.data["not_reranked"] == [{"corpus_id": "c", "code": code}]
    assert {passage["rerank"] for passage in told.data["passages"]} == {None}
    (record,) = [record for record in caplog.records if record.message == "not reranked"]
    assert (record.reranker, record.error, record.scored) == (name, code, 0)
    assert "secret" not in str(vars(record))
    assert any('outcome="failed"' in line for line in await metric(it, name))


async def test_one_corpus_failing_reranker_leaves_the_other_corpus_reranked(it):
    ann = await it.key("ann")
    for corpus_id, answer in (("good", None), ("bad", raises(RuntimeError("a bug")))):
        name = f"{corpus_id}-{uuid.uuid4().hex[:8]}"
        it.offer(name, it.engine(f"{corpus_id}1", f"{corpus_id}2"))
        it.offer(name, Backwards(answer=answer), kind="reranker")
        await it.corpus(ann, corpus_id, {"retrieval": {"provider": name, "reranker": name}})
        for number in (1, 2):
            await it.indexed(ann, "text", f"{corpus_id}{number}", corpus_id=corpus_id)
    body = {"corpus_ids": ["good", "bad"], "query": "unheard"}
    told = await it.app.call("POST", "/v1/retrieve", ann, json=body)
    found = ids(told)
    assert found.index("good2") < found.index("good1")
    assert found.index("bad1") < found.index("bad2")
    assert told.data["not_reranked"] == [{"corpus_id": "bad", "code": "RERANKER_ERROR"}]


async def test_the_configuration_is_checked_strictly_and_what_is_left_out_has_a_default(it):
    ann, reranker = await it.key("ann"), Backwards()
    it.offer("close-reader", reranker, kind="reranker")
    made = await it.corpus(ann)
    for retrieval, key in (
        ({"reranker": "close-raeder"}, "reranker"),
        ({"reranker": 5}, "reranker"),
        ({"rerank_top_n": 10}, "rerank_top_n"),
        ({"rerank_budget_ms": 10}, "rerank_budget_ms"),
        *(
            ({"reranker": "close-reader", "rerank_top_n": wrong}, "rerank_top_n")
            for wrong in (0, 51, True, "9")
        ),
        *(
            ({"reranker": "close-reader", "rerank_budget_ms": wrong}, "rerank_budget_ms")
            for wrong in (0, 10_001)
        ),
    ):
        config = {"provider_config_json": {"retrieval": retrieval}}
        refused = await it.app.call("PATCH", "/v1/corpora/c", ann, json=config)
        assert (refused.status, refused.code) == (422, "REQUEST_VALIDATION_ERROR"), retrieval
        (row,) = refused.body["error"]["details"]["errors"]
        assert row["loc"] == ["body", "provider_config_json", "retrieval", key]
        if retrieval.get("reranker") == "close-raeder":
            assert "did you mean 'close-reader'?" in row["msg"]
    assert (await it.app.call("GET", "/v1/corpora/c", ann)).data == made
    for retrieval, asked in (({"reranker": "close-reader"}, 30), ({"reranker": None}, None), ({}, None)):
        config = {"provider_config_json": {"retrieval": retrieval}}
        assert (await it.app.call("PATCH", "/v1/corpora/c", ann, json=config)).status == 200
        corpus = await it.app.platform.facades["documents"].use(DocumentCatalog).corpus(it.tenant, "c")
        assert (corpus.reranking.top_n if corpus.reranking else None) == asked
        assert "reranker" not in corpus.options
