"""Who may read much gets what everybody gets: the same passages in the same order, whoever else has documents."""

import random
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
import pytest_asyncio
from ragwork_hooks.authz import AllOf, Everything, HasLabel, ReadableBy, ReadScope
from ragwork_hooks.retrieval import Passage, Query
from ragwork_pgvector import broad_ranking, statistics
from ragwork_pgvector.retriever import PreparedRanking
from ragwork_pgvector.statistics import CorpusStatistics, count, load_statistics
from ragwork_testkit.retrieval import ANN, TENANT, Bench, IndexContract

WORDS = ["tide", "gate", "lock", "weir", "basin", "sluice", "quay", "mole", "groyne", "buoy", "the", "of"]
QUESTIONS = [
    "tide gate",
    "the lock of the weir",
    "basin sluice quay mole",
    "buoy",
    "Schleuse am Wehr",
    "unheard",
]
BOB = ReadableBy(frozenset({"user:bob", "tenant:t1"}))
#: Terms that are counted when a corpus is: none in so small a corpus, or all.
COUNTED = pytest.mark.parametrize("counted", [statistics.COUNTED, 1])


def always_broad(bench: Bench, monkeypatch: pytest.MonkeyPatch, counted: int) -> Bench:
    """``bench``, whose corpora are counted before each question, and none of which is too small."""
    for name, least in {"BROAD_CHUNKS": 1, "BROAD_SHARE": 0, "GRAPH_SHARE": 0}.items():
        monkeypatch.setattr(statistics, name, least)
    counting = statistics._COUNT_TERMS.replace(f">= {statistics.COUNTED}", f">= {counted}")
    monkeypatch.setattr(statistics, "_COUNT_TERMS", counting)

    async def known(tenant_id: str, corpus_id: str) -> CorpusStatistics:
        async with bench.database.tenant(tenant_id) as tx:
            await count(tx, corpus_id)
            return await load_statistics(tx, corpus_id)

    return attrs.evolve(bench, retriever=attrs.evolve(bench.retriever, statistics=known))


class TestBroadRanking(IndexContract):
    """The contract holds however much the caller may read."""

    @pytest_asyncio.fixture(params=[statistics.COUNTED, 1])
    async def bench(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
    ) -> Bench:
        return always_broad(bench, monkeypatch, request.param)


async def fill(bench: Bench, prefix: str, readers: Sequence[str], seed: int, documents: int = 140) -> None:
    draw = random.Random(seed)
    await bench.add(
        *(
            bench.document(
                f"{prefix}{n}", " ".join(draw.choices(WORDS, k=draw.randint(1, 30))),
                readers={draw.choice(readers): None}, labels={"kind": draw.choice("ab")},
            )
            for n in range(documents)
        )
    )  # fmt: skip


async def ranked(bench: Bench, text: str, scope: ReadScope, *, is_broad: bool = True) -> list[Passage]:
    query = Query(corpus_id="c", text=text, top_k=20, embedder="words", options={"lexical_weight": 0.5})
    prepared = await bench.retriever.prepare(TENANT, query)
    assert isinstance(prepared, PreparedRanking)
    if not is_broad:
        prepared = attrs.evolve(prepared, statistics=CorpusStatistics(listed=[], analysers=(), vectors={}))
    assert prepared.statistics.is_broad(prepared.question, prepared.table, scope) == is_broad
    async with bench.database.tenant(TENANT, "read") as tx:
        return list(await prepared.passages(tx, scope))


def numbers(passages: Sequence[Passage]) -> list[tuple[str, float, float | None, float | None]]:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 9)

    return [(p.document_id, round(p.score, 9), rounded(p.lexical), rounded(p.relevance)) for p in passages]


@COUNTED
@pytest.mark.parametrize("scope", [Everything(), BOB], ids=["everything", "readers"])
async def test_both_ways_to_rank_say_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, counted: int, scope: ReadScope
) -> None:
    broad = always_broad(bench, monkeypatch, counted)
    await fill(bench, "d", ["user:bob", "tenant:t1", "user:eve"], seed=1)
    for text in QUESTIONS:
        assert numbers(await ranked(broad, text, scope)) == numbers(
            await ranked(broad, text, scope, is_broad=False)
        )


@COUNTED
@pytest.mark.parametrize("postings", [broad_ranking.POSTINGS, 5], ids=["whole", "cut"])
async def test_documents_of_others_show_in_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, counted: int, postings: int
) -> None:
    broad = always_broad(bench, monkeypatch, counted)
    monkeypatch.setattr(broad_ranking, "POSTINGS", postings)
    await fill(bench, "d", ["user:bob", "tenant:t1"], seed=2)
    before = [numbers(await ranked(broad, text, BOB)) for text in QUESTIONS]
    await fill(bench, "other", ["user:eve", "role:admin"], seed=3)
    assert [numbers(await ranked(broad, text, BOB)) for text in QUESTIONS] == before
    everything = [numbers(await ranked(broad, text, Everything())) for text in QUESTIONS]
    assert all(one != other for one, other in zip(everything, before, strict=True))


@pytest.mark.parametrize("telling", [broad_ranking.TELLING, 0.0])
async def test_cut_lists_are_scored_exactly(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, telling: float
) -> None:
    """A document that is found has the score that it has when all postings are read."""
    broad = always_broad(bench, monkeypatch, 1)
    await fill(bench, "d", ["user:bob"], seed=4)
    exact = {p.document_id: p for p in await ranked(broad, "tide gate lock", BOB, is_broad=False)}
    monkeypatch.setattr(broad_ranking, "POSTINGS", 5)
    monkeypatch.setattr(broad_ranking, "TELLING", telling)
    found = await ranked(broad, "tide gate lock", BOB)
    assert numbers(found) == numbers(list(exact.values()))


async def test_a_grant_a_revoke_and_an_expiry_hold_for_the_next_query(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    broad = always_broad(bench, monkeypatch, 1)
    await bench.add(
        bench.document("a", "tide", readers={"user:bob": None}),
        bench.document("b", "tide", readers={"user:eve": None}),
        bench.document("c", "tide", readers={"user:bob": "2001-01-01T00:00:00+00:00"}),
    )
    # What a process knows of the corpus is of before; rights are of now.
    query = Query(corpus_id="c", text="tide", top_k=5, embedder="words")
    prepared = await broad.retriever.prepare(TENANT, query)

    async def found() -> set[str]:
        async with bench.database.tenant(TENANT, "read") as tx:
            return {p.document_id for p in await prepared.passages(tx, BOB)}

    assert await found() == {"a"}
    async with bench.database.tenant(TENANT) as tx:
        await bench.index.set_readers(tx, "b", {"tenant:t1": None})
        await bench.index.set_readers(tx, "a", {})
    assert await found() == {"b"}


async def test_who_may_read_little_or_asks_with_conditions_is_asked_first(bench: Bench) -> None:
    await fill(bench, "d", ["user:bob"], seed=5)
    for scope in (BOB, ANN, AllOf((BOB, HasLabel("kind")))):
        await ranked(bench, "tide", scope, is_broad=False)
    listed = statistics.ListedChunks(
        readers=frozenset({"user:bob"}), embedder="words", dimension=256, analyser="en", chunks=5_000
    )
    few = attrs.evolve(listed, readers=frozenset({"user:ann"}), chunks=100)
    prepared = await bench.retriever.prepare(
        TENANT, Query(corpus_id="c", text="tide", top_k=5, embedder="words")
    )
    assert isinstance(prepared, PreparedRanking)

    def is_broad(scope: ReadScope, vectors: float = 5_000.0, **asked: Any) -> bool:
        known = CorpusStatistics(
            listed=[listed, few], analysers={"en"}, vectors={prepared.table.name: vectors}
        )
        return known.is_broad(attrs.evolve(prepared.question, **asked), prepared.table, scope)

    assert is_broad(BOB)
    assert is_broad(Everything())
    assert not is_broad(ANN)
    assert not is_broad(AllOf((BOB, HasLabel("kind"))))
    assert not is_broad(BOB, filter={"kind": ["a"]})
    assert not is_broad(BOB, embedder="another")
    assert not is_broad(BOB, vectors=50_000.0), "most of a walk would be wasted"
