"""Corpora are counted when they changed enough, by access list, and what is kept ends with them."""

from ragwork_pgvector.statistics import CorpusCounting, load_statistics
from ragwork_testkit.retrieval import TENANT, Bench


async def kept(bench: Bench, corpus_id: str = "c") -> dict[str, int]:
    """Chunks by the readers of their list."""
    async with bench.database.tenant(TENANT, "read") as tx:
        known = await load_statistics(tx, corpus_id)
    return {",".join(sorted(each.readers)): each.chunks for each in known.listed}


async def test_a_corpus_is_counted_once_a_tenth_of_it_is_new(bench: Bench, counting: CorpusCounting) -> None:
    await bench.add(*(bench.document(f"d{n}", f"tide {n}", "ebb") for n in range(40)))
    assert await counting.run() == 1
    assert await kept(bench) == {"user:ann": 80}
    assert await counting.run() == 0
    await bench.add(*(bench.document(f"e{n}", f"tide {n}") for n in range(3)))
    assert await counting.run() == 0
    await bench.add(bench.document("e3", "tide"), bench.document("other", "tide", corpus_id="d"))
    assert await counting.run() == 2
    assert await kept(bench) == {"user:ann": 84}
    assert await kept(bench, "d") == {"user:ann": 1}


async def test_a_daily_count_finds_less(bench: Bench, counting: CorpusCounting) -> None:
    await bench.add(*(bench.document(f"d{n}", "tide") for n in range(40)))
    await counting.run()
    await bench.add(bench.document("e", "tide", readers={"user:bob": None}))
    assert await counting.run() == 0
    async with bench.database.tenant(TENANT) as tx:
        await tx.execute("UPDATE pgvector.corpus_statistics SET counted_at = now() - interval '25 hours'")
    assert await counting.run() == 1
    assert await kept(bench) == {"user:ann": 40, "user:bob": 1}


async def test_small_lists_are_counted_as_nobodys(bench: Bench, counting: CorpusCounting) -> None:
    await bench.add(*(bench.document(f"d{n}", "tide", "ebb") for n in range(100)))
    await bench.add(bench.document("mine", "tide", readers={"user:bob": None}))
    await counting.run()
    assert await kept(bench) == {"user:ann": 200, "": 1}


async def test_a_corpus_without_documents_is_forgotten(bench: Bench, counting: CorpusCounting) -> None:
    await bench.add(bench.document("a", "tide"))
    await counting.run()
    async with bench.database.tenant(TENANT) as tx:
        await bench.index.delete(tx, ["a"])
    assert await counting.run() == 1
    assert await kept(bench) == {}


async def test_a_language_that_is_new_is_known_before_the_corpus_is_counted(
    bench: Bench, counting: CorpusCounting
) -> None:
    await bench.add(*(bench.document(f"d{n}", "tide") for n in range(40)))
    await counting.run()
    async with bench.database.tenant(TENANT) as tx:
        await bench.index.replace(tx, bench.document("de", "Ebbe und Flut"))
        await tx.execute("UPDATE pgvector.documents SET analyser = 'de' WHERE document_id = 'de'")
        assert set((await load_statistics(tx, "c")).analysers) >= {"de"}
