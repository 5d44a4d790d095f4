"""The index gives back what it was given, and tells of every change."""

import attrs
import pytest
from ragwork_hooks.authz import Everything, ReadableBy
from ragwork_hooks.events import Event
from ragwork_hooks.retrieval import INDEX_CHANGED, IndexHit
from ragwork_hooks.storage import Transaction
from ragwork_pgvector.index import LocalIndex
from ragwork_pgvector.passage_source import LocalPassageSource
from ragwork_pgvector.vectors import packed
from ragwork_testkit.retrieval import ANN, FUTURE, OTHER, PAST, TENANT, Bench, WordEmbedder

SOURCE = LocalPassageSource()


async def indexed(bench: Bench, document_id: str, tenant: str = TENANT):
    async with bench.database.tenant(tenant, "read") as tx:
        return await SOURCE.document(tx, document_id)


async def passages(bench: Bench, hits, scope=ANN, tenant: str = TENANT):
    async with bench.database.tenant(tenant, "read") as tx:
        return await SOURCE.passages(tx, scope, hits)


@pytest.mark.parametrize("dimension", [256, 1536, 100])
async def test_a_document_comes_back_whole(bench: Bench, dimension: int) -> None:
    bench = attrs.evolve(bench, embedder=WordEmbedder(dimension))
    given = bench.document(
        "a", "tide", "gate \U0001f600 lock", version=7, metadata={"n": [1, None]}, labels={"level": "open"},
        readers={"user:ann": None, "group:g": FUTURE, "user:bob": PAST},
    )  # fmt: skip
    await bench.add(given)
    got = (await indexed(bench, "a")).document
    assert got.readers == {"user:ann": None, "group:g": FUTURE}
    for sent, kept in zip(given.chunks, got.chunks, strict=True):
        assert kept.vector == packed(sent.vector).to_list()
    bare = [attrs.evolve(chunk, vector=None) for chunk in given.chunks]
    stripped = [attrs.evolve(chunk, vector=None) for chunk in got.chunks]
    assert attrs.evolve(got, chunks=stripped, readers={}) == attrs.evolve(given, chunks=bare, readers={})


async def test_a_document_without_chunks_or_readers_is_there_and_an_unknown_one_is_not(bench: Bench) -> None:
    await bench.add(bench.document("a", readers={}))
    got = (await indexed(bench, "a")).document
    assert (list(got.chunks), got.readers) == ([], {})
    assert await indexed(bench, "b") is None
    assert await indexed(bench, "a", tenant=OTHER) is None


async def test_revisions_grow_over_replacement_and_re_creation_but_not_over_readers(bench: Bench) -> None:
    seen = []
    for version in (5, 6, 1):
        await bench.add(bench.document("a", "tide", version=version))
        seen.append((await indexed(bench, "a")).revision)
        if version == 6:
            async with bench.database.tenant(TENANT) as tx:
                await bench.index.delete(tx, ["a"])
    assert seen == sorted(set(seen))
    async with bench.database.tenant(TENANT) as tx:
        await bench.index.set_readers(tx, "a", {})
    assert (await indexed(bench, "a")).revision == seen[-1]


async def test_ids_come_in_pages_of_the_tenant(bench: Bench) -> None:
    await bench.add(*(bench.document(name) for name in ("b", "a", "C", "a.1")))
    await bench.add(bench.document("z"), tenant=OTHER)
    async with bench.database.tenant(TENANT, "read") as tx:
        assert await SOURCE.document_ids(tx, "", 3) == ["C", "a", "a.1"]
        assert await SOURCE.document_ids(tx, "a.1", 3) == ["b"]


async def test_hits_become_passages_in_their_order_within_the_scope(bench: Bench) -> None:
    await bench.add(
        bench.document("a", "tide 0", "tide 1", metadata={"n": 1}), bench.document("b", "hidden", readers={})
    )
    a, b = (await indexed(bench, "a")).revision, (await indexed(bench, "b")).revision
    hits = [
        IndexHit(revision=r, ordinal=o, score=s)
        for r, o, s in ((a, 1, 0.2), (b, 0, 0.9), (a, 0, 0.1), (a, 9, 1))
    ]
    found = await passages(bench, hits)
    assert [(p.text, p.score, p.source, p.start, p.metadata) for p in found] == [
        ("tide 1", 0.2, "a.txt", 1000, {"n": 1}),
        ("tide 0", 0.1, "a.txt", 0, {"n": 1}),
    ]
    assert [p.text for p in await passages(bench, hits, Everything())] == ["tide 1", "hidden", "tide 0"]
    assert await passages(bench, hits, ReadableBy(frozenset({"user:eve"}))) == []
    assert await passages(bench, hits, Everything(), tenant=OTHER) == []
    assert await passages(bench, []) == []


async def test_a_hit_of_a_replaced_version_is_gone(bench: Bench) -> None:
    await bench.add(bench.document("a", "old"))
    hit = IndexHit(revision=(await indexed(bench, "a")).revision, ordinal=0, score=1.0)
    await bench.add(bench.document("a", "new", version=2))
    assert await passages(bench, [hit]) == []


async def test_every_change_is_told_in_its_own_transaction(bench: Bench) -> None:
    told: list[tuple[str, Event]] = []

    class Listener:
        async def publish(self, tx: Transaction, event: Event) -> None:
            told.append((tx.tenant_id, event))

    index = LocalIndex(Listener())
    async with bench.database.tenant(TENANT) as tx:
        await index.replace(tx, bench.document("a", "tide"))
        await index.set_readers(tx, "a", {})
        await index.delete(tx, ["a", "b"])
    keys = ["a", "a", "a", "b"]
    assert told == [
        (TENANT, Event(type=INDEX_CHANGED, key=key, payload={"document_id": key})) for key in keys
    ]
