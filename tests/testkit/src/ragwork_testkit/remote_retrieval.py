"""The contract of a retriever that asks a service, as tests to subclass.

    class TestMyRetriever(RemoteRetrieverContract):
        @pytest_asyncio.fixture
        async def remote(self) -> AsyncIterator[Remote]:
            async with my_server.serving() as server:
                yield Remote(retriever=..., service=MyService(server), codes=Codes(...))

``service`` is the local server behind a small adapter (see ``Service``).
"""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Protocol, TypeAlias, cast

import attrs
import pytest
from ragwork_hooks.authz import Everything
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.retrieval import Passage, Query, Retriever
from ragwork_hooks.storage import Transaction

from ragwork_testkit.sealed import Sealed, unsupported

TENANT, OTHER = "t1", "t2"

Fault: TypeAlias = Literal[
    "unauthorized",  # 401, or what the service has for unknown credentials
    "forbidden",  # 403
    "refused",  # 400
    "absent",  # 404: no such index
    "throttled",  # 429 with ``Retry-After: 7``
    "broken",  # 500
    "away",  # 503 without Retry-After
    "stall",  # the request is read, and nothing comes
    "drop",  # the connection is cut
    "malformed",  # 200 with what is not JSON
    "truncated",  # 200 with half an answer
    "wrong_shape",  # 200 with JSON of the wrong types
]


@attrs.frozen(kw_only=True)
class Hit:
    """What the service shall find: a piece of a document of the platform."""

    document_id: str
    text: str
    score: float = 0.5
    metadata: Mapping[str, object] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Codes:
    """The contract codes of this provider."""

    config: str
    auth: str
    failed: str


class Service(Protocol):
    """The local server, as the kit drives it."""

    def serve(self, hits: Sequence[Hit], tenant: str | None = None) -> Mapping[str, object]:
        """Corpus options of a new index that finds ``hits``, best first, whatever is asked.

        With ``tenant``, only credentials of this tenant may read it; the options name them by ``credentials_ref``.
        """

    def fail(self, fault: Fault) -> None:
        """The next request goes wrong in this way."""

    @property
    def calls(self) -> int:
        """Requests so far."""

    @property
    def abandoned(self) -> int:
        """Requests so far whose client left before the answer."""


@attrs.frozen(kw_only=True)
class Remote:
    """What the contract works with. ``retriever`` must allow ``concurrency`` calls at a time, and give up
    after ``timeout_s``.
    """

    retriever: Retriever
    service: Service
    codes: Codes
    concurrency: int = 4
    timeout_s: float = 2.0

    async def find(
        self,
        options: Mapping[str, object],
        text: str = "when do the gates close",
        *,
        tenant: str = TENANT,
        top_k: int = 10,
        filter: Mapping[str, object] | None = None,
        distinct: Literal["document"] | None = None,
    ) -> Sequence[Passage]:
        """The passages, read with a transaction that no remote retriever has a use for."""
        query = Query(
            corpus_id="c",
            text=text,
            top_k=top_k,
            embedder="none",
            filter=filter or {},
            distinct=distinct,
            options=options,
        )
        prepared = await self.retriever.prepare(tenant, query)
        return await prepared.passages(cast(Transaction, _Untouched()), Everything())

    async def failure(self, options: Mapping[str, object], tenant: str = TENANT) -> ProviderError:
        """The error that asking ends with."""
        with pytest.raises(ProviderError) as caught:
            await self.find(options, tenant=tenant)
        return caught.value


class _Untouched:
    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"a remote retriever used the transaction: {name}")


def hits(count: int, tag: str = "d") -> list[Hit]:
    """``count`` documents of one piece each, scores falling from 0.9."""
    return [
        Hit(document_id=f"{tag}{n}", text=f"{tag} gate {n} closes at {n}", score=0.9 - n / (2 * count))
        for n in range(count)
    ]


class RemoteRetrieverContract(Sealed):
    """What a retriever over a service promises. Flags: ``filters``, it holds metadata filters; ``distinct``, it
    gives the best passage of each document. Where one is off, such a query raises ``NotSupported``.
    """

    filters: ClassVar[bool] = True
    distinct: ClassVar[bool] = True

    async def test_it_asks_for_a_recheck(self, remote: Remote) -> None:
        assert remote.retriever.transactional is False

    async def test_a_passage_names_its_document_and_carries_its_text_verbatim(self, remote: Remote) -> None:
        text = "  Quote “exactly”,\n\ttabs, é, \U0001f468‍\U0001f469, \\n $1 %s ';--  "
        options = remote.service.serve([Hit(document_id="a.b:c-1", text=text, metadata={"year": 2020})])
        (passage,) = await remote.find(options)
        assert (passage.document_id, passage.text) == ("a.b:c-1", text)
        assert (passage.start, passage.end) == (0, len(text))
        assert passage.chunk_id
        assert passage.source
        assert passage.metadata["year"] == 2020

    @pytest.mark.parametrize("top_k", [1, 2, 10, 50])
    async def test_as_many_as_asked_for_when_there_are_as_many(self, remote: Remote, top_k: int) -> None:
        options = remote.service.serve(hits(60))
        found = await remote.find(options, top_k=top_k)
        assert [p.document_id for p in found] == [f"d{n}" for n in range(top_k)]

    async def test_scores_fall_and_lie_between_0_and_1(self, remote: Remote) -> None:
        scores = [17.5, 3.25, 1.0, 0.5, 0.25, 0.0, -3.0]
        options = remote.service.serve(
            [Hit(document_id=f"d{n}", text=f"gate {n}", score=score) for n, score in enumerate(scores)]
        )
        found = await remote.find(options)
        given = [p.score for p in found]
        assert [p.document_id for p in found] == [f"d{n}" for n in range(len(scores))]
        assert given == sorted(given, reverse=True)
        assert all(0.0 <= score <= 1.0 for score in given)

    async def test_chunk_ids_are_the_same_each_time_and_differ_within_a_document(
        self, remote: Remote
    ) -> None:
        pieces = [Hit(document_id="a", text=f"gate {n}", score=0.9 - n / 10) for n in range(4)]
        options = remote.service.serve(pieces)
        first, second = await remote.find(options), await remote.find(options)
        assert first == second
        assert len({p.chunk_id for p in first}) == 4

    async def test_distinct_gives_the_best_passage_of_each_document(self, remote: Remote) -> None:
        many = [Hit(document_id="long", text=f"gate {n}", score=0.95 - n / 1000) for n in range(30)]
        options = remote.service.serve([*many, *hits(8)])
        if not self.distinct:
            await unsupported(remote.find(options, top_k=9, distinct="document"))
            return
        found = await remote.find(options, top_k=9, distinct="document")
        assert [p.document_id for p in found] == ["long", *(f"d{n}" for n in range(8))]
        assert found[0].text == "gate 0"

    async def test_an_empty_index_finds_nothing(self, remote: Remote) -> None:
        assert list(await remote.find(remote.service.serve([]))) == []

    @pytest.mark.parametrize(
        "text",
        ["", " ", "the", "検索", "مرحبا", "a" * 30_000, "tide " * 10_000, "'; DROP TABLE x; --",
         "& | ! <-> :*", "\x00", "\U0001f600", "broken \ud83d surrogate", '"}], "x": [{"'],
    )  # fmt: skip
    async def test_any_question_is_answered(self, remote: Remote, text: str) -> None:
        options = remote.service.serve(hits(1))
        assert {p.document_id for p in await remote.find(options, text)} <= {"d0"}

    async def test_hostile_results_are_cleaned_or_left_out(self, remote: Remote) -> None:
        hostile = [
            Hit(document_id="../../etc/passwd", text="path"),
            Hit(document_id="a\x00b", text="nul"),
            Hit(document_id="broken \ud83d", text="surrogate"),
            Hit(document_id="x" * 5000, text="long"),
            Hit(document_id="good", text="nul \x00 and \ud83d inside", metadata={"k\x00": ["\ud83d"]}),
            Hit(document_id="blank", text=" "),
        ]
        for passage in await remote.find(remote.service.serve(hostile)):
            for value in (passage.document_id, passage.chunk_id, passage.text, passage.source):
                assert "\x00" not in value
                value.encode()
            assert "\x00" not in repr(passage.metadata).encode().decode("unicode_escape")
            assert passage.document_id in ("good", "blank") or passage.text == ""

    async def test_a_passage_of_10_mb_holds_up_nobody(self, remote: Remote) -> None:
        options = remote.service.serve([Hit(document_id="a", text="gate " * 2_000_000)])
        await remote.find(options)
        longest, stop = 0.0, False

        async def watch() -> None:
            nonlocal longest
            while not stop:
                before = time.perf_counter()
                await asyncio.sleep(0.001)
                longest = max(longest, time.perf_counter() - before)

        watcher = asyncio.create_task(watch())
        (passage,) = await remote.find(options)
        stop = True
        await watcher
        assert passage.text.startswith("gate gate ")
        assert longest < 1.0

    async def test_a_filter_is_held(self, remote: Remote) -> None:
        options = remote.service.serve(
            [
                Hit(document_id="a", text="tide a", metadata={"year": 2020, "lang": "en", "flag": True}),
                Hit(document_id="b", text="tide b", metadata={"year": 2021, "lang": "de", "flag": False}),
                Hit(document_id="c", text="tide c", metadata={"lang": 'it\'s "c"'}),
            ]
        )
        if not self.filters:
            await unsupported(remote.find(options, filter={"year": 2020}))
            return
        for filter, expected in (
            ({"year": 2020}, {"a"}),
            ({"year": [2020, 2021]}, {"a", "b"}),
            ({"year": [2020, 2021], "lang": "de"}, {"b"}),
            ({"lang": ["en"]}, {"a"}),
            ({"lang": 'it\'s "c"'}, {"c"}),
            ({"flag": True}, {"a"}),
            ({"flag": [True, False]}, {"a", "b"}),
            ({"year": []}, set()),
            ({"nobody": "x"}, set()),
        ):
            found = await remote.find(options, filter=filter)
            assert {p.document_id for p in found} == expected, filter

    @pytest.mark.parametrize(
        ("fault", "kind", "retryable", "seconds"),
        [
            ("unauthorized", "auth", False, None),
            ("forbidden", "auth", False, None),
            ("refused", "failed", False, None),
            ("absent", "failed", False, None),
            ("throttled", "failed", True, 7.0),
            ("broken", "failed", True, None),
            ("away", "failed", True, None),
            ("drop", "failed", True, None),
            ("malformed", "failed", True, None),
            ("truncated", "failed", True, None),
            ("wrong_shape", "failed", True, None),
        ],
    )
    async def test_a_fault_becomes_a_typed_error_without_a_retry(
        self, remote: Remote, fault: Fault, kind: str, retryable: bool, seconds: float | None
    ) -> None:
        options = remote.service.serve(hits(3))
        remote.service.fail(fault)
        error = await remote.failure(options)
        expected = {"auth": remote.codes.auth, "failed": remote.codes.failed}[kind]
        assert (error.code, error.retryable, error.retry_after_s) == (expected, retryable, seconds)
        assert remote.service.calls == 1
        assert len(await remote.find(options)) == 3

    async def test_a_silent_service_times_out(self, remote: Remote) -> None:
        options = remote.service.serve(hits(1))
        remote.service.fail("stall")
        began = time.monotonic()
        error = await remote.failure(options)
        assert (error.code, error.retryable) == (remote.codes.failed, True)
        assert time.monotonic() - began < remote.timeout_s + 1.0

    async def test_a_binding_without_options_is_a_config_error(self, remote: Remote) -> None:
        error = await remote.failure({})
        assert (error.code, error.retryable) == (remote.codes.config, False)
        assert remote.service.calls == 0

    async def test_cancelling_hangs_up_and_frees_the_place(self, remote: Remote) -> None:
        options = remote.service.serve(hits(2))
        # Fill the provider's pool first: what it keeps anyway is not what a cancelled call leaks.
        await asyncio.gather(*(remote.find(options) for _ in range(remote.concurrency)))
        threads = threading.active_count()
        rounds = 3
        for _ in range(rounds):
            await self._stall_and_cancel(remote, options)
        for _ in range(100):
            if remote.service.abandoned == rounds * remote.concurrency:
                break
            await asyncio.sleep(0.01)
        assert remote.service.abandoned == rounds * remote.concurrency
        began = time.monotonic()
        assert len(await remote.find(options)) == 2
        assert time.monotonic() - began < 1.0
        assert threading.active_count() <= threads + remote.concurrency

    async def _stall_and_cancel(self, remote: Remote, options: Mapping[str, object]) -> None:
        before = remote.service.calls
        for _ in range(remote.concurrency):
            remote.service.fail("stall")
        tasks = [asyncio.create_task(remote.find(options)) for _ in range(remote.concurrency)]
        for _ in range(1000):
            if remote.service.calls == before + remote.concurrency:
                break
            await asyncio.sleep(0.005)
        began = time.monotonic()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert time.monotonic() - began < 1.0
        assert all(task.cancelled() for task in tasks)

    async def test_fifty_calls_at_once_mix_neither_tenants_nor_credentials(self, remote: Remote) -> None:
        tenants = [f"t{n}" for n in range(5)]
        options = {tenant: remote.service.serve(hits(3, f"{tenant}-"), tenant) for tenant in tenants}
        asked = [tenants[n % 5] for n in range(50)]
        answers = await asyncio.gather(*(remote.find(options[t], tenant=t) for t in asked))
        for tenant, found in zip(asked, answers, strict=True):
            assert [p.document_id for p in found] == [f"{tenant}-{n}" for n in range(3)]

    async def test_a_tenant_can_not_use_the_credentials_of_another(self, remote: Remote) -> None:
        options = remote.service.serve(hits(3), TENANT)
        error = await remote.failure(options, tenant=OTHER)
        assert error.code == remote.codes.config
        assert remote.service.calls == 0
        assert len(await remote.find(options, tenant=TENANT)) == 3

    async def test_the_operators_credentials_do_not_stand_in_for_a_tenants(self, remote: Remote) -> None:
        options = dict(remote.service.serve(hits(3), TENANT))
        options["credentials_ref"] = "nobodys"
        error = await remote.failure(options)
        assert error.code == remote.codes.config
        assert remote.service.calls == 0
