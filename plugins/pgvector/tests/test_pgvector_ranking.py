"""What is this retriever's own: BM25 by the book, storage by dimension, both ways to the neighbours."""

import asyncio
import math
from collections import Counter
from collections.abc import Sequence

import attrs
import pytest
from ragwork_hooks.authz import Everything, ReadableBy
from ragwork_hooks.providers import Provider
from ragwork_hooks.retrieval import Passage, Query
from ragwork_hooks.storage import Row
from ragwork_pgvector import ranking, vectors
from ragwork_pgvector.config import CorpusOptions
from ragwork_pgvector.question import Question
from ragwork_pgvector.retriever import provider
from ragwork_pgvector.terms import QuestionTerms
from ragwork_testkit.retrieval import ANN, TENANT, Bench, WordEmbedder

GRAPH_SETTING = "SELECT coalesce(nullif(current_setting('hnsw.iterative_scan', true), ''), 'off')"


def sized(bench: Bench, dimension: int) -> Bench:
    """The same database with vectors of ``dimension`` numbers."""
    embedder = WordEmbedder(dimension)

    async def by_name(name: str) -> WordEmbedder:
        return embedder

    return attrs.evolve(bench, embedder=embedder, retriever=attrs.evolve(bench.retriever, embedder=by_name))


async def lexical_only(bench: Bench, text: str) -> Sequence[Passage]:
    query = Query(corpus_id="c", text=text, top_k=50, embedder="words", options={"lexical_weight": 1})
    prepared = await bench.retriever.prepare(TENANT, query)
    async with bench.database.tenant(TENANT, "read") as tx:
        return await prepared.passages(tx, Everything())


async def test_the_lexical_leg_is_bm25(bench: Bench) -> None:
    texts = {
        "a": "tide tide gate",
        "b": "gate lock lock lock lock basin basin",
        "c": "tide " * 400 + "basin",  # a tsvector alone would count 255
        "d": "weir",
    }
    await bench.add(*(bench.document(key, text) for key, text in texts.items()))
    counts = {key: Counter(text.split()) for key, text in texts.items()}
    lengths = {key: sum(count.values()) for key, count in counts.items()}
    mean = sum(lengths.values()) / len(lengths)

    def score(key: str, question: str) -> float:
        total = 0.0
        for word in question.split():
            found = sum(word in count for count in counts.values())
            idf = math.log(1 + (len(texts) - found + 0.5) / (found + 0.5))
            tf = counts[key][word]
            total += idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * lengths[key] / mean))
        return total

    for question in ("tide gate", "lock basin tide", "gate gate lock"):
        got = {p.document_id: p.score for p in await lexical_only(bench, question)}
        best = max(score(key, question) for key in texts)
        assert got == pytest.approx({key: score(key, question) / best for key in texts})


async def test_words_meet_by_their_stem_and_stop_words_do_not_count(bench: Bench) -> None:
    texts = {"a": "the generously generated flows", "b": "the of and"}
    await bench.add(
        *(attrs.evolve(bench.document(name, text), language="en") for name, text in texts.items())
    )
    best = (await lexical_only(bench, "generating a flow"))[0]
    assert (best.document_id, best.score) == ("a", 1.0)


@pytest.mark.parametrize("dimension", [1, 100, *vectors.GRAPH_DIMENSIONS, 3072])
async def test_every_dimension_is_stored_and_ranked(bench: Bench, dimension: int) -> None:
    other = sized(bench, dimension)
    await other.add(other.document("a", "tide gate"), other.document("b", "warm bread"))
    assert (await other.find("tide gate"))[0].document_id == "a"
    table = vectors.table_of(dimension).name
    async with bench.database.tenant(TENANT, "read") as tx:
        assert await tx.fetchval(f"SELECT count(*) FROM {table}") == 2


async def test_vectors_of_another_embedder_do_not_count(bench: Bench) -> None:
    alien = attrs.evolve(bench.document("a", "tide gate"), embedder="another")
    await bench.add(alien, bench.document("b", "tide"))
    passages = await bench.find("tide gate")
    assert [p.document_id for p in passages] == ["b", "a"]  # a by its words alone
    assert passages[1].score == pytest.approx(0.3)
    wide = sized(bench, 384)
    assert [p.score for p in await wide.find("gate")] == [pytest.approx(0.3)]


async def test_the_walk_through_the_graph_finds_what_the_scan_finds(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.add(*(bench.document(f"d{n}", f"tide {n % 17} {n % 5} {n}") for n in range(300)))
    exact = await bench.find("tide 3 4 77", top_k=20)
    monkeypatch.setattr(ranking, "EXACT_VECTORS", 0)
    monkeypatch.setattr(ranking, "GRAPH_SHARE", 0.0)
    assert await bench.find("tide 3 4 77", top_k=20) == exact
    prepared = await bench.retriever.prepare(
        TENANT, Query(corpus_id="c", text="tide", top_k=3, embedder="words")
    )
    async with bench.database.tenant(TENANT) as tx:  # which its statements share, as those of a read do not
        await prepared.passages(tx, ANN)
        assert await tx.fetchval(GRAPH_SETTING) == "relaxed_order"  # the walk was taken
    async with bench.database.tenant(TENANT, "read") as tx:
        assert await tx.fetchval(GRAPH_SETTING) == "off"  # and its settings ended with the transaction


async def test_a_walk_that_brings_too_little_is_made_up_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "EXACT_VECTORS", 0)
    monkeypatch.setattr(ranking, "GRAPH_SHARE", 0.0)
    near = bench.document("near", *("tide gate" for _ in range(500)))
    await bench.add(near, *(bench.document(f"d{n}", f"bread {n}") for n in range(9)))
    found = await bench.find("tide gate", top_k=10, distinct="document")
    assert len(found) == 10
    mine = ReadableBy(frozenset({"user:bob"}))
    await bench.add(bench.document("only", "kitchen", readers={"user:bob": None}))
    assert await bench.found("tide gate", mine) == {"only"}


async def test_one_round_trip_a_query(bench: Bench) -> None:
    await bench.add(bench.document("a", "tide"))
    query = Query(corpus_id="c", text="tide", top_k=3, embedder="words", filter={"x": 1}, distinct="document")
    prepared = await bench.retriever.prepare(TENANT, query)

    class Counting:
        calls = 0

        async def fetch(self, sql: str, *args: object) -> Sequence[Row]:
            Counting.calls += 1
            return await tx.fetch(sql, *args)

    async with bench.database.tenant(TENANT, "read") as tx:
        await prepared.passages(Counting(), ANN)  # type: ignore[arg-type]  # has nothing else to call
    assert Counting.calls == 1


async def test_statements_depend_on_shapes_never_on_values() -> None:
    def sql(text: str, readers: set[str], filter: dict[str, object]) -> str:
        question = Question(
            corpus_id=text, terms=QuestionTerms.of(text), vector=vectors.packed([len(text)]), dimension=256,
            embedder=text, languages=None, unrelated_cosine=len(text) / 100, top_k=len(text),
            lexical_weight=0.5, filter=filter, distinct=None,
        )  # fmt: skip
        return ranking.ranking(question, vectors.table_of(256), ReadableBy(frozenset(readers)))[0]

    hostile = "x'); DROP TABLE pgvector.chunks; --"
    assert sql("tide", {"user:a"}, {"k": 1}) == sql(hostile, {hostile, "b"}, {hostile: [hostile], "y": None})


async def rows(bench: Bench) -> dict[str, int]:
    tables = ("documents", "readers", "chunks", "postings", "vectors", "vectors_256", "vectors_384")
    async with bench.database.tenant(TENANT, "read") as tx:
        return {t: await tx.fetchval(f"SELECT count(*) FROM pgvector.{t}") for t in tables}


async def test_nothing_is_left_of_old_versions_and_deleted_documents(bench: Bench) -> None:
    await bench.add(bench.document("a", *(f"tide gate {n}" for n in range(9))))
    wide = sized(bench, 384)
    await wide.add(wide.document("a", "tide gate", readers={"user:bob": None, "user:eve": None}))
    assert await rows(bench) == {
        "documents": 1, "readers": 2, "chunks": 1, "postings": 2,
        "vectors": 0, "vectors_256": 0, "vectors_384": 1,
    }  # fmt: skip
    async with bench.database.tenant(TENANT) as tx:
        await bench.index.delete(tx, ["a"])
    assert set((await rows(bench)).values()) == {0}


async def test_writers_of_one_document_leave_nothing_of_each_other(bench: Bench) -> None:
    document = bench.document("a", *(f"tide gate {n}" for n in range(50)))
    for _ in range(3):
        await asyncio.gather(*(bench.add(document) for _ in range(4)))
    assert await rows(bench) == {
        "documents": 1, "readers": 1, "chunks": 50, "postings": 150,
        "vectors": 0, "vectors_256": 50, "vectors_384": 0,
    }  # fmt: skip


async def test_an_expiry_without_offset_is_refused(bench: Bench) -> None:
    with pytest.raises(ValueError, match="needs an offset"):
        await bench.add(bench.document("a", "tide", readers={"user:ann": "2030-01-01T00:00:00"}))


def test_the_provider_and_its_options() -> None:
    assert isinstance(provider, Provider)
    assert (provider.name, provider.options) == ("local_pgvector", CorpusOptions)
    for weight in (-0.1, 1.1):
        with pytest.raises(ValueError, match="must be"):
            CorpusOptions(lexical_weight=weight)
