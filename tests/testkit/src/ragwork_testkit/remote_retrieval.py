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
from collections.abc import Mapping
from typing import ClassVar

import pytest
from ragwork_hooks.provider_kinds import RETRIEVAL

from ragwork_testkit.calling import check_loop_goes_on
from ragwork_testkit.contract import EntryPointContract
from ragwork_testkit.contract_base import unsupported
from ragwork_testkit.remote_service import OTHER, TENANT
from ragwork_testkit.remote_service import Codes as Codes
from ragwork_testkit.remote_service import Fault as Fault
from ragwork_testkit.remote_service import Hit as Hit
from ragwork_testkit.remote_service import LocalService as LocalService
from ragwork_testkit.remote_service import Remote as Remote
from ragwork_testkit.remote_service import Service as Service


def hits(count: int, tag: str = "d") -> list[Hit]:
    """``count`` documents of one piece each, scores falling from 0.9."""
    return [
        Hit(document_id=f"{tag}{n}", text=f"{tag} gate {n} closes at {n}", score=0.9 - n / (2 * count))
        for n in range(count)
    ]


class RemoteRetrieverContract(EntryPointContract):
    """What a retriever over a service promises. Flags: ``filters``, it holds metadata filters; ``distinct``, it
    gives the best passage of each document. Where one is off, such a query raises ``NotSupported``.
    """

    kind = RETRIEVAL
    filters: ClassVar[bool] = True
    distinct: ClassVar[bool] = True

    async def test_it_asks_for_a_recheck(self, remote: Remote) -> None:
        """A retriever over a service is not transactional: set `transactional = False`, so that what it finds
        is checked again.
        """
        assert remote.retriever.transactional is False

    async def test_a_passage_names_its_document_and_carries_its_text_verbatim(self, remote: Remote) -> None:
        """A passage names its document and carries its text unchanged: map the service's fields without
        trimming.
        """
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
        """`top_k` passages are found when there are as many: follow the service's pages."""
        options = remote.service.serve(hits(60))
        found = await remote.find(options, top_k=top_k)
        assert [p.document_id for p in found] == [f"d{n}" for n in range(top_k)]

    async def test_scores_fall_and_lie_between_0_and_1(self, remote: Remote) -> None:
        """Scores fall and lie between 0.0 and 1.0: keep the service's order and bring its numbers into that
        range.
        """
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
        """Chunk ids are the same each time and differ within a document: make them of the document and the
        text, not of chance or time.
        """
        pieces = [Hit(document_id="a", text=f"gate {n}", score=0.9 - n / 10) for n in range(4)]
        options = remote.service.serve(pieces)
        first, second = await remote.find(options), await remote.find(options)
        assert first == second
        assert len({p.chunk_id for p in first}) == 4

    async def test_distinct_gives_the_best_passage_of_each_document(self, remote: Remote) -> None:
        """`distinct` keeps the best passage of each document: ask for more and group, or say `distinct =
        False` on the test class and raise NotSupported.
        """
        many = [Hit(document_id="long", text=f"gate {n}", score=0.95 - n / 1000) for n in range(30)]
        options = remote.service.serve([*many, *hits(8)])
        if not self.distinct:
            await unsupported(remote.find(options, top_k=9, distinct="document"))
            return
        found = await remote.find(options, top_k=9, distinct="document")
        assert [p.document_id for p in found] == ["long", *(f"d{n}" for n in range(8))]
        assert found[0].text == "gate 0"

    async def test_an_empty_index_finds_nothing(self, remote: Remote) -> None:
        """An empty index finds nothing: return `[]`."""
        assert list(await remote.find(remote.service.serve([]))) == []

    @pytest.mark.parametrize(
        "text",
        ["", " ", "the", "検索", "مرحبا", "a" * 30_000, "tide " * 10_000, "'; DROP TABLE x; --",
         "& | ! <-> :*", "\x00", "\U0001f600", "broken \ud83d surrogate", '"}], "x": [{"'],
    )  # fmt: skip
    async def test_any_question_is_answered(self, remote: Remote, text: str) -> None:
        """Any text is a question: cut it to what the service takes, replace what can't be sent, and give `[]`
        when nothing is left.
        """
        options = remote.service.serve(hits(1))
        assert {p.document_id for p in await remote.find(options, text)} <= {"d0"}

    async def test_hostile_results_are_cleaned_or_left_out(self, remote: Remote) -> None:
        """What the service sends is hostile until it was checked: remove NUL and unpaired surrogates, leave
        out ids that no document can have.
        """
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
        """A huge answer holds up nobody: parse it in a thread."""
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
        """A filter is held: write keys and values as the service's language quotes them, or say `filters =
        False` on the test class and raise NotSupported.
        """
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
        """A fault of the service is one ProviderError and no second request: map its status to the code,
        `retryable` and `retry_after_s`, and switch the client's own retries off.
        """
        options = remote.service.serve(hits(3))
        remote.service.fail(fault)
        error = await remote.failure(options)
        expected = {"auth": remote.codes.auth, "failed": remote.codes.failed}[kind]
        assert (error.code, error.retryable, error.retry_after_s) == (expected, retryable, seconds)
        assert remote.service.calls == 1
        assert len(await remote.find(options)) == 3

    async def test_a_silent_service_times_out(self, remote: Remote) -> None:
        """A silent service is given up: bound the call, and raise ProviderError with `retryable=True`."""
        options = remote.service.serve(hits(1))
        remote.service.fail("stall")
        began = time.monotonic()
        error = await remote.failure(options)
        assert (error.code, error.retryable) == (remote.codes.failed, True)
        assert time.monotonic() - began < remote.timeout_s + 1.0

    async def test_the_event_loop_goes_on_meanwhile(self, remote: Remote) -> None:
        """Every other request waits while a call blocks the event loop: await an asynchronous client, or move
        the work to a thread with `asyncio.to_thread`.
        """
        options = remote.service.serve(hits(3))
        await check_loop_goes_on(lambda: remote.find(options))

    async def test_a_binding_without_options_is_a_config_error(self, remote: Remote) -> None:
        """A binding without what it needs is a config error before any request: check the options first."""
        error = await remote.failure({})
        assert (error.code, error.retryable) == (remote.codes.config, False)
        assert remote.service.calls == 0

    async def test_cancelling_hangs_up_and_frees_the_place(self, remote: Remote) -> None:
        """A cancelled call hangs up within a second and frees its place: close the connection in `finally`; a
        thread that waits goes on.
        """
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
        """Calls at once mix neither tenants nor credentials: choose client and index by the `tenant_id` of the
        call.
        """
        tenants = [f"t{n}" for n in range(5)]
        options = {tenant: remote.service.serve(hits(3, f"{tenant}-"), tenant) for tenant in tenants}
        asked = [tenants[n % 5] for n in range(50)]
        answers = await asyncio.gather(*(remote.find(options[t], tenant=t) for t in asked))
        for tenant, found in zip(asked, answers, strict=True):
            assert [p.document_id for p in found] == [f"{tenant}-{n}" for n in range(3)]

    async def test_a_tenant_can_not_use_the_credentials_of_another(self, remote: Remote) -> None:
        """A tenant can't use the credentials of another: look `credentials_ref` up with
        `ragwork_toolkit.vendor.tenant_credentials.tenant_secret`.
        """
        options = remote.service.serve(hits(3), TENANT)
        error = await remote.failure(options, tenant=OTHER)
        assert error.code == remote.codes.config
        assert remote.service.calls == 0
        assert len(await remote.find(options, tenant=TENANT)) == 3

    async def test_the_operators_credentials_do_not_stand_in_for_a_tenants(self, remote: Remote) -> None:
        """The operator's credentials never stand in for a tenant's: raise the config error when
        `credentials_ref` names nothing.
        """
        options = dict(remote.service.serve(hits(3), TENANT))
        options["credentials_ref"] = "nobodys"
        error = await remote.failure(options)
        assert error.code == remote.codes.config
        assert remote.service.calls == 0
