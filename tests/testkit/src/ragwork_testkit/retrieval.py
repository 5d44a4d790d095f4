"""The contract of a retriever and of the index that documents feed, as tests to subclass.
    class TestMyRetriever(IndexContract):
        @pytest_asyncio.fixture
        async def bench(self, ...) -> AsyncIterator[Bench]:
            yield Bench(database=..., index=MyIndex(), retriever=MyRetriever(embedder))

The retriever embeds with ``WordEmbedder``. Each test gets an empty index.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import ClassVar

import attrs
import pytest
from ragwork_hooks.authz import (
    AllOf,
    AnyOf,
    Everything,
    HasLabel,
    IdIn,
    LabelComparison,
    LabelIn,
    Not,
    Nothing,
    OwnedBy,
    ReadableBy,
    ReadScope,
)
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.provider_kinds import RETRIEVAL

from ragwork_testkit.bench import ANN as ANN
from ragwork_testkit.bench import TENANT as TENANT
from ragwork_testkit.bench import Bench as Bench
from ragwork_testkit.bench import WordEmbedder as WordEmbedder
from ragwork_testkit.calling import check_cancellation, check_loop_goes_on
from ragwork_testkit.contract import EntryPointContract
from ragwork_testkit.contract_base import unsupported

OTHER = "t2"
PAST, FUTURE = "2001-01-01T00:00:00+00:00", "2901-01-01T00:00:00+00:00"


class RetrieverContract(EntryPointContract):
    """What every retriever over an index promises about ranking. Flags: ``filters``, it holds metadata filters;
    ``distinct``, it gives the best passage of each document. Where one is off, such a query raises ``NotSupported``.
    """

    kind = RETRIEVAL
    filters: ClassVar[bool] = True
    distinct: ClassVar[bool] = True

    async def test_the_passage_that_answers_comes_first(self, bench: Bench) -> None:
        """The passage that answers comes first: order by similarity, and name its document, chunk and source."""
        await bench.add(
            bench.document("a", "the lock gates close at low tide"),
            bench.document("b", "bread rises in a warm kitchen"),
            bench.document("c", "graphite slows the reaction"),
        )
        best = (await bench.find("when do the lock gates close"))[0]
        assert (best.document_id, best.chunk_id, best.source) == ("a", "a-0", "a.txt")

    async def test_a_passage_carries_its_text_verbatim_and_where_it_stands(self, bench: Bench) -> None:
        """A passage is the chunk as it was indexed: pass text, version, offsets and metadata on unchanged."""
        text = "  Quote \u201cexactly\u201d,\n\ttabs, e\u0301, \U0001f468\u200d\U0001f469, \\n $1 %s ';--  "
        await bench.add(bench.document("a", "first", text, version=7, metadata={"n": 1, "l": ["x"]}))
        passage = next(p for p in await bench.find("quote exactly") if p.chunk_id == "a-1")
        assert passage.text == text
        assert (passage.version, passage.start, passage.end) == (7, 1000, 1000 + len(text))
        assert passage.metadata == {"n": 1, "l": ["x"]}

    async def test_scores_fall_and_lie_between_0_and_1(self, bench: Bench) -> None:
        """Scores fall from the first passage and lie between 0.0 and 1.0: map the engine's own numbers into
        that range and sort by them.
        """
        await bench.add(*(bench.document(f"d{n}", "word " * (n + 1) + f"other{n} tide") for n in range(20)))
        for text in ("word tide", "tide", "unheard", "the of and", ""):
            scores = [p.score for p in await bench.find(text, top_k=50)]
            assert len(scores) == 20
            assert scores == sorted(scores, reverse=True)
            assert all(0.0 <= score <= 1.0 for score in scores)

    @pytest.mark.parametrize("top_k", [1, 2, 10, 50])
    async def test_as_many_as_asked_for_when_there_are_as_many(self, bench: Bench, top_k: int) -> None:
        """`top_k` passages are found when there are as many: ask the engine for enough before you leave some
        out.
        """
        await bench.add(*(bench.document(f"d{n}", f"tide {n}", f"ebb {n}") for n in range(30)))
        assert len(await bench.find("tide", top_k=top_k)) == top_k

    async def test_distinct_gives_the_best_passage_of_each_document(self, bench: Bench) -> None:
        """`distinct` keeps the best passage of each document: group by document, or say `distinct = False` on
        the test class and raise NotSupported.
        """
        many = bench.document("long", *(f"tide tables and gates {n}" for n in range(250)))
        await bench.add(many, *(bench.document(f"d{n}", f"gates {n}", "else") for n in range(8)))
        if not self.distinct:
            await unsupported(bench.find("tide gates", top_k=9, distinct="document"))
            return
        passages = await bench.find("tide gates", top_k=9, distinct="document")
        assert sorted(p.document_id for p in passages) == [*(f"d{n}" for n in range(8)), "long"]
        assert passages[0].document_id == "long"
        assert all(p.text.startswith("gates") for p in passages[1:])

    async def test_an_empty_index_finds_nothing(self, bench: Bench) -> None:
        """An empty index finds nothing: return `[]`."""
        assert await bench.find("anything") == []

    async def test_the_event_loop_goes_on_meanwhile(self, bench: Bench) -> None:
        """Every other request waits while a search blocks the event loop: await an asynchronous client, or move
        the work to a thread with `asyncio.to_thread`.
        """
        await bench.add(bench.document("a", "tide"))
        await check_loop_goes_on(lambda: bench.find("tide"))

    async def test_a_cancelled_search_ends_as_cancelled(self, bench: Bench) -> None:
        """A caller that leaves ends the search: let CancelledError pass, and stop in `finally` what it
        started.
        """
        await bench.add(bench.document("a", "tide"))
        await check_cancellation(lambda: bench.find("tide"))
        assert await bench.found("tide") == {"a"}

    async def test_corpora_are_apart(self, bench: Bench) -> None:
        """A query finds passages of its corpus only: filter by `query.corpus_id`."""
        await bench.add(bench.document("a", "tide"), bench.document("b", "tide", corpus_id="d"))
        assert await bench.found("tide") == {"a"}
        assert await bench.found("tide", corpus_id="d") == {"b"}

    @pytest.mark.parametrize(
        "text",
        ["", " ", "the", "\u691c\u7d22\u62e1\u5f35", "\u0645\u0631\u062d\u0628\u0627", "a" * 20_000,
         "tide " * 4_000, "'; DROP TABLE x; --", "& | ! <-> :*", "\x00", "\U0001f600"],
    )  # fmt: skip
    async def test_any_question_is_answered(self, bench: Bench, text: str) -> None:
        """Any text is a question: escape it for the engine, and search for a blank one as well."""
        await bench.add(bench.document("a", "tide"))
        assert await bench.found(text) == {"a"}

    async def test_text_of_any_language_is_found(self, bench: Bench) -> None:
        """Text of any language is found: use a tokenizer that is not for English alone."""
        texts = {"ja": "\u6f6e\u6c50 \u8868", "ru": "\u043f\u0440\u0438\u043b\u0438\u0432", "de": "Gezeiten"}
        await bench.add(*(bench.document(key, text) for key, text in texts.items()))
        for key, text in texts.items():
            assert (await bench.find(text))[0].document_id == key

    @pytest.mark.parametrize(
        ("filter", "expected"),
        [
            ({}, {"a", "b", "c", "d"}),
            ({"year": 2020}, {"a"}),
            ({"year": "2020"}, {"b"}),
            ({"year": [2020, "2020"]}, {"a", "b"}),
            ({"year": []}, set()),
            ({"tags": "x"}, {"a", "c"}),
            ({"tags": ["x", "y"]}, {"a", "b", "c"}),
            ({"tags": "x", "year": 2020}, {"a"}),
            ({"flag": True}, {"a"}),
            ({"flag": 1}, {"b"}),
            ({"flag": None}, {"c"}),
            ({"nobody": None}, set()),
            ({"a'b\"": "x"}, {"d"}),
        ],
    )
    async def test_a_filter_matches_strictly_by_type(
        self, bench: Bench, filter: Mapping[str, object], expected: set[str]
    ) -> None:
        """A filter matches by value and type: escape keys and values for the engine, never put them into its
        language as text, or say `filters = False` on the test class and raise NotSupported.
        """
        await bench.add(
            bench.document("a", "tide a", metadata={"year": 2020, "tags": ["x", "z"], "flag": True}),
            bench.document("b", "tide b", metadata={"year": "2020", "tags": "y", "flag": 1}),
            bench.document("c", "tide c", metadata={"tags": "x", "flag": None}),
            bench.document("d", "tide d", metadata={"a'b\"": "x"}),
        )
        if filter and not self.filters:
            await unsupported(bench.find("tide", filter=filter))
            return
        assert await bench.found("tide", filter=filter) == expected


class ScopeContract(RetrieverContract):
    """And about who may read what."""

    async def test_tenants_are_apart(self, bench: Bench) -> None:
        """A tenant finds its own passages only: filter by `tenant_id` in every search."""
        await bench.add(bench.document("a", "tide mine"))
        await bench.add(bench.document("a", "tide theirs"), bench.document("b", "tide"), tenant=OTHER)
        assert [p.text for p in await bench.find("tide", Everything())] == ["tide mine"]
        async with bench.database.tenant(TENANT) as tx:
            await bench.index.delete(tx, ["a", "b"])
        assert await bench.found("tide", Everything(), tenant=OTHER) == {"a", "b"}

    @pytest.mark.parametrize(
        ("scope", "expected"),
        [
            (Everything(), {"a", "b", "c"}),
            (Nothing(), set()),
            (ANN, {"a"}),
            (ReadableBy(frozenset({"user:ann", "group:g"})), {"a", "b"}),
            (ReadableBy(frozenset()), set()),
            (OwnedBy("bob"), {"c"}),
            (LabelIn("level", frozenset({"open", "x"})), {"a"}),
            (LabelIn("level", frozenset()), set()),
            (Not(LabelIn("level", frozenset({"open"}))), {"b", "c"}),
            (IdIn(frozenset({"a", "x"})), {"a"}),
            (Not(IdIn(frozenset({"a"}))), {"b", "c"}),
            (HasLabel("level"), {"a", "b"}),
            (Not(HasLabel("level")), {"c"}),
            (LabelComparison("level", "gt", "open"), {"b"}),
            (LabelComparison("level", "gte", "open"), {"a", "b"}),
            (LabelComparison("level", "lt", "shut"), {"a"}),
            (LabelComparison("level", "lte", "Shut"), set()),
            (LabelComparison("level", "starts_with", "op"), {"a"}),
            (Not(LabelComparison("level", "contains", "hu")), {"a", "c"}),
            (Not(ANN), {"b", "c"}),
            (Not(Nothing()), {"a", "b", "c"}),
            (AllOf(()), {"a", "b", "c"}),
            (AnyOf(()), set()),
            (AnyOf((ANN, OwnedBy("bob"))), {"a", "c"}),
            (AllOf((Everything(), Not(AnyOf((ANN, OwnedBy("bob")))))), {"b"}),
            (Not(Not(AllOf((ANN, OwnedBy("owner"))))), {"a"}),
            (OwnedBy("' OR true --"), set()),
        ],
    )
    async def test_only_what_the_scope_names(
        self, bench: Bench, scope: ReadScope, expected: set[str]
    ) -> None:
        """Only what the scope names is found: translate every part of `ReadScope`, or filter what the engine
        found by it.
        """
        gone: dict[str, str | None] = {"user:ann": PAST}
        await bench.add(
            bench.document("a", "tide a", labels={"level": "open"}, readers={"user:ann": FUTURE}),
            bench.document("b", "tide b", labels={"level": "shut"}, readers={"group:g": None, **gone}),
            bench.document("c", "tide c", owner="bob", readers=gone),
        )
        assert await bench.found("tide", scope) == expected

    async def test_a_grant_and_a_revoke_hold_for_the_next_query(self, bench: Bench) -> None:
        """A grant and a revoke hold for the next query: read who may read in the caller's transaction."""
        await bench.add(bench.document("a", "tide", readers={}))
        for readers, expected in (
            ({"user:ann": None}, {"a"}),
            ({"user:ann": PAST}, set()),
            ({"user:ann": FUTURE, "user:bob": None}, {"a"}),
            ({"user:bob": None}, set()),
        ):
            async with bench.database.tenant(TENANT) as tx:
                await bench.index.set_readers(tx, "a", readers)
            assert await bench.found("tide") == expected

    async def test_unreadable_documents_change_neither_results_nor_scores(self, bench: Bench) -> None:
        """What the caller may not read changes neither results nor scores: take statistics over the scope
        alone.
        """
        await bench.add(*(bench.document(f"d{n}", f"tide gate {n} " + "lock " * n) for n in range(12)))
        texts = ("tide lock", "gate 3", "harbour")
        before = [await bench.find(text) for text in texts]
        bob: dict[str, str | None] = {"user:bob": None}
        await bench.add(
            *(bench.document(f"x{n}", "tide lock gate harbour " * (n + 1), readers=bob) for n in range(30)),
            bench.document("y", *("harbour tide lock" for _ in range(40)), readers={"user:ann": PAST}),
        )
        assert [await bench.find(text) for text in texts] == before

    async def test_permitted_rows_are_found_among_many_nearer_ones(self, bench: Bench) -> None:
        """What the caller may read is found among many nearer ones: apply the scope in the search, not to its
        best results.
        """
        nearer = bench.document("near", *("tide gate" for _ in range(400)), readers={})
        await bench.add(nearer, *(bench.document(f"d{n}", f"tide {n}") for n in range(10)))
        assert await bench.found("tide gate", top_k=10) == {f"d{n}" for n in range(10)}


class IndexContract(ScopeContract):
    """And about how the index changes."""

    async def test_a_new_version_replaces_every_chunk_of_the_old_one(self, bench: Bench) -> None:
        """A new version replaces every chunk of the old one: delete the document's chunks in the same
        transaction.
        """
        await bench.add(bench.document("a", "old tide", "old gate", "old lock"))
        await bench.add(bench.document("a", "new tide", version=2, readers={"user:ann": None}))
        assert [(p.text, p.version) for p in await bench.find("old gate", Everything())] == [("new tide", 2)]

    async def test_a_replacement_that_is_rolled_back_changes_nothing(self, bench: Bench) -> None:
        """A replacement that is rolled back changes nothing: write in the caller's transaction only."""
        await bench.add(bench.document("a", "old tide"))
        with contextlib.suppress(ZeroDivisionError):
            async with bench.database.tenant(TENANT) as tx:
                await bench.index.replace(tx, bench.document("a", "new tide", version=2))
                raise ZeroDivisionError
        assert [p.text for p in await bench.find("tide")] == ["old tide"]

    async def test_a_reader_sees_one_version_only_while_it_is_replaced(self, bench: Bench) -> None:
        """A reader sees one version of a document: swap all of its chunks in one transaction."""
        await bench.add(bench.document("a", *(f"tide {n} v1" for n in range(5))))

        async def write() -> None:
            for version in range(2, 7):
                await bench.add(
                    bench.document("a", *(f"tide {n} v{version}" for n in range(5)), version=version)
                )

        writer = asyncio.create_task(write())
        while not writer.done():
            passages = await bench.find("tide")
            assert len(passages) == 5
            assert len({p.version for p in passages}) == 1
            assert all(p.text.endswith(f"v{p.version}") for p in passages)
        await writer

    async def test_concurrent_replacements_leave_one_version(self, bench: Bench) -> None:
        """Concurrent replacements leave one version: lock the document before you write."""
        await asyncio.gather(
            *(bench.add(bench.document("a", *(f"tide {v} {n}" for n in range(v + 1)))) for v in range(4))
        )
        texts = {p.text for p in await bench.find("tide", Everything(), top_k=50)}
        version = max(int(text.split()[1]) for text in texts)
        assert texts == {f"tide {version} {n}" for n in range(version + 1)}

    async def test_known_digests_need_no_second_vector(self, bench: Bench) -> None:
        """A chunk without a vector takes the one that the index has for its digest: keep vectors by digest
        within the document.
        """
        first = bench.document("a", "tide gate", "lock")
        await bench.add(first)
        async with bench.database.tenant(TENANT) as tx:
            known = await bench.index.known(tx, "a", bench.embedder.name)
            assert known == {chunk.digest for chunk in first.chunks}
            assert await bench.index.known(tx, "a", "another") == frozenset()
            assert await bench.index.known(tx, "b", bench.embedder.name) == frozenset()
        moved = attrs.evolve(bench.chunk("a", 1, "tide gate"), vector=None)
        second = bench.document("a", "brand new", version=2)
        await bench.add(attrs.evolve(second, chunks=[*second.chunks, moved]))
        best = (await bench.find("tide gate"))[0]
        assert (best.chunk_id, best.version) == ("a-1", 2)

    async def test_a_vector_of_another_length_is_refused(self, bench: Bench) -> None:
        """A vector of another length is refused with EMBEDDING_DIMENSION_MISMATCH: check all before you write
        one.
        """
        document = bench.document("a", "tide", "gate")
        short = attrs.evolve(document.chunks[1], vector=[1.0, 0.0])
        with pytest.raises(ProviderError) as refused:
            await bench.add(attrs.evolve(document, chunks=[document.chunks[0], short]))
        assert refused.value.code == "EMBEDDING_DIMENSION_MISMATCH"
        assert await bench.found("tide") == set()

    async def test_a_missing_vector_that_nobody_has_is_refused(self, bench: Bench) -> None:
        """A missing vector that the index does not have is refused with EMBEDDING_DIMENSION_MISMATCH: check
        before you write.
        """
        document = bench.document("a", "tide")
        bare = attrs.evolve(document, chunks=[attrs.evolve(document.chunks[0], vector=None)])
        with pytest.raises(ProviderError) as refused:
            await bench.add(bare)
        assert refused.value.code == "EMBEDDING_DIMENSION_MISMATCH"

    async def test_deleted_documents_are_gone_and_the_others_stay(self, bench: Bench) -> None:
        """Deleted documents are gone and the others stay: delete by tenant and document id."""
        await bench.add(*(bench.document(name, "tide") for name in "abc"))
        async with bench.database.tenant(TENANT) as tx:
            await bench.index.delete(tx, ["a", "c", "never was"])
            assert await bench.index.known(tx, "a", bench.embedder.name) == frozenset()
        assert await bench.found("tide", Everything()) == {"b"}
        await bench.add(bench.document("a", "tide", readers={}))
        assert await bench.found("tide") == {"b"}

    async def test_a_document_without_chunks_is_kept_and_not_found(self, bench: Bench) -> None:
        """A document without chunks is kept and not found: delete the chunks of its former version."""
        await bench.add(bench.document("a", "tide"))
        await bench.add(bench.document("a", version=2))
        assert await bench.found("tide", Everything()) == set()

    async def test_a_very_long_passage_is_indexed(self, bench: Bench) -> None:
        """A very long passage is indexed: put no bound on a chunk's text."""
        text = "tide " * 500_000 + "finis"
        await bench.add(bench.document("a", text), bench.document("b", "gate"))
        assert (await bench.find("tide finis", top_k=1))[0].text == text
