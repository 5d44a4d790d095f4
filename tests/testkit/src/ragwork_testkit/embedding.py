"""The contract of an embedding provider, as tests to subclass.

    class TestMyEmbedder(EmbedderContract):
        async def make(self) -> Embedder:
            return MyEmbedder()

Each test gets a new embedder from ``make`` and closes it. Cache what is slow to load in your class.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ragwork_hooks.provider_kinds import EMBEDDING
from ragwork_hooks.retrieval import Embedder

from ragwork_testkit.contract import ProviderContract
from ragwork_testkit.timing import shortest

Vector = Sequence[float]
Purpose = Literal["query", "document"]

PURPOSES: Final[tuple[Purpose, ...]] = ("query", "document")
#: Longest time in seconds for which embedding may keep the event loop from its other work.
MAX_STALL: Final = 0.05
#: Longest time in seconds for a query beside documents under way, and for a document after some that were cancelled.
MAX_WAIT: Final = 0.5
MAX_LEAVING: Final = 1.0
#: Same direction, for providers whose arithmetic depends on what else is in a batch.
SAME: Final = 0.999

_TEXTS: Final = (
    "The harbour master closes the lock gates at low tide.",
    "Bread dough rises faster in a warm kitchen.",
    "The court dismissed the appeal for lack of evidence.",
    "Graphite rods slow the reaction in the core.",
    "She tuned the violin a quarter tone flat.",
)
_RELATED: Final = (
    ("The cat is asleep on the sofa.", "A cat sleeps on the sofa in the living room."),
    ("How do I reset my password?", "To reset your password, open the account page."),
    ("Interest rates rose in the second quarter.", "Rates of interest went up in the quarter."),
)
_ODD_TEXTS: Final = {
    "empty": "",
    "blank": " \t\n ",
    "control characters": "a\x00b\x07\x1b[31m\x7f",
    "unpaired surrogate": "broken \ud800 text",
    "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308",
    "right to left": "\u202e\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
    "no spaces between words": "\u691c\u7d22\u62e1\u5f35\u751f\u6210",
    "combining marks": "e" + "\u0301" * 500,
    "one endless word": "a" * 100_000,
}
_PARAGRAPH: Final = "A boundary layer on a heated flat plate grows with the square root of its length. " * 14


def cosine(a: Vector, b: Vector) -> float:
    """Cosine of the angle between two vectors of unit length."""
    return sum(x * y for x, y in zip(a, b, strict=True))


class EmbedderContract(ProviderContract):
    """Tests that every ``Embedder`` passes. Override ``make`` and nothing else."""

    kind = EMBEDDING

    async def make(self) -> Embedder:
        """A new, open embedder."""
        embedder: Embedder = await super().make()
        return embedder

    @pytest.fixture
    async def embedder(self) -> AsyncIterator[Embedder]:
        async with self._live() as embedder:
            yield embedder

    async def _use(self, made: Embedder, root: str = "") -> object:
        return [await made.embed(_TEXTS, purpose) for purpose in PURPOSES]

    def test_what_unrelated_texts_have_is_a_cosine(self, embedder: Embedder) -> None:
        """`unrelated_cosine` is from 0 to below 1: what a text has with a question it has nothing to do with."""
        assert 0 <= embedder.unrelated_cosine < 1, f"unrelated_cosine is {embedder.unrelated_cosine!r}"

    def test_its_languages_are_codes_or_it_knows_many(self, embedder: Embedder) -> None:
        """The languages are a set of two- or three-letter codes, or `None` for many: set `languages`."""
        for language in embedder.languages or ():
            assert language.isascii(), language
            assert language.islower() and 2 <= len(language) <= 3, language  # noqa: PT018  # one rule

    def test_it_has_a_name_and_a_dimension(self, embedder: Embedder) -> None:
        """An embedder has a name and the length of its vectors: set `name` and `dimension`."""
        assert embedder.name
        assert embedder.dimension > 0

    @pytest.mark.parametrize("purpose", PURPOSES)
    async def test_no_texts_give_no_vectors(self, embedder: Embedder, purpose: Purpose) -> None:
        """No texts give no vectors: return `[]` for `[]` before the service is asked."""
        assert list(await embedder.embed([], purpose)) == []

    @pytest.mark.parametrize("purpose", PURPOSES)
    async def test_vectors_have_the_dimension_and_unit_length(
        self, embedder: Embedder, purpose: Purpose
    ) -> None:
        """Each text has one vector of `dimension` finite numbers and length 1: check what the model gives, and
        divide it by its length.
        """
        vectors = await embedder.embed(_TEXTS, purpose)
        assert len(vectors) == len(_TEXTS)
        for vector in vectors:
            check_vector(vector, embedder.dimension)

    @pytest.mark.parametrize("purpose", PURPOSES)
    async def test_order_is_kept_whatever_the_lengths(self, embedder: Embedder, purpose: Purpose) -> None:
        """Vectors come in the order of their texts: sort what comes back by its index."""
        texts = [_PARAGRAPH[: 40 + 90 * (n * 7 % 11)] + _TEXTS[n % 5] + f" Case {n}." for n in range(23)]
        together = await embedder.embed(texts, purpose)
        assert len(together) == len(texts)
        for n, text in enumerate(texts):
            (alone,) = await embedder.embed([text], purpose)
            assert cosine(together[n], alone) > SAME, f"text {n} got another text's vector"

    async def test_the_same_text_has_the_same_vector(self, embedder: Embedder) -> None:
        """The same text has the same vector: use the model without chance, and nothing of the time or the
        process.
        """
        first, second = await embedder.embed([_TEXTS[0], _TEXTS[0]], "document")
        (third,) = await embedder.embed([_TEXTS[0]], "document")
        assert cosine(first, second) > SAME
        assert cosine(first, third) > SAME

    async def test_related_texts_are_closer_than_unrelated_ones(self, embedder: Embedder) -> None:
        """Texts about the same are closer than others: embed what the texts say, questions and documents into
        one space.
        """
        queries = await embedder.embed([query for query, _ in _RELATED], "query")
        documents = await embedder.embed([document for _, document in _RELATED], "document")
        for row, query in enumerate(queries):
            scores = [cosine(query, document) for document in documents]
            assert scores.index(max(scores)) == row, f"{_RELATED[row][0]!r} scores {scores}"

    async def test_a_long_text_is_cut_not_refused(self, embedder: Embedder) -> None:
        """A text that is too long is cut: embed its beginning as far as the model reads."""
        (vector,) = await embedder.embed([_PARAGRAPH * 900], "document")
        (beginning,) = await embedder.embed([_PARAGRAPH], "document")
        check_vector(vector, embedder.dimension)
        assert cosine(vector, beginning) > 0.8

    @pytest.mark.parametrize("purpose", PURPOSES)
    @pytest.mark.parametrize("text", _ODD_TEXTS.values(), ids=_ODD_TEXTS.keys())
    async def test_an_odd_text_has_a_vector(self, embedder: Embedder, text: str, purpose: Purpose) -> None:
        """Any text has a vector, also an empty or ill-formed one: replace unpaired surrogates, and give a
        blank text a direction.
        """
        odd, plain = await embedder.embed([text, _TEXTS[0]], purpose)
        check_vector(odd, embedder.dimension)
        check_vector(plain, embedder.dimension)

    @given(text=st.text(st.characters(), max_size=300))
    @settings(
        max_examples=40,
        derandomize=True,
        deadline=None,
        # One embedder serves all examples, and each subclass runs the inherited test.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    async def test_any_text_has_a_vector(self, embedder: Embedder, text: str) -> None:
        """Any text has a vector, also an empty or ill-formed one: replace unpaired surrogates, and give a
        blank text a direction.
        """
        (vector,) = await embedder.embed([text], "query")
        check_vector(vector, embedder.dimension)

    async def test_concurrent_callers_get_their_own_vectors(self, embedder: Embedder) -> None:
        """Each of many callers gets the vectors of its own texts: keep what belongs to a call in its own
        variables.
        """
        texts = [f"{_TEXTS[n % 5]} Number {n}, letter {chr(97 + n % 26)}." for n in range(200)]
        expected = await embedder.embed(texts, "query")
        calls = [embedder.embed([text], PURPOSES[n % 2]) for n, text in enumerate(texts)]
        answers = await asyncio.gather(*calls)
        for n, answer in enumerate(answers):
            assert len(answer) == 1
            if PURPOSES[n % 2] == "query":
                assert cosine(answer[0], expected[n]) > SAME, f"caller {n} got another caller's vector"

    async def test_the_event_loop_goes_on_while_documents_run(self, embedder: Embedder) -> None:
        """The event loop goes on while documents are embedded: compute in a thread, or await between texts."""
        texts = await _work(embedder, seconds=0.4)
        stall = await shortest(lambda: _longest_stall(embedder, texts), MAX_STALL)
        assert stall <= MAX_STALL, f"the loop stood still for {stall:.3f} s"

    async def test_a_query_overtakes_running_documents(self, embedder: Embedder) -> None:
        """A query does not wait for documents under way: embed documents in small batches and let queries go
        first.
        """
        texts = await _work(embedder, seconds=1.0)
        waited = await shortest(lambda: _query_beside(embedder, texts), MAX_WAIT)
        assert waited <= MAX_WAIT, f"the query waited {waited:.3f} s for the documents"

    async def test_a_cancelled_call_frees_its_place(self, embedder: Embedder) -> None:
        """A cancelled call frees its place within a second: look between batches whether the caller is still
        there.
        """
        texts = await _work(embedder, seconds=2.0)
        taken = await shortest(lambda: _document_after_cancelled(embedder, texts), MAX_LEAVING)
        assert taken <= MAX_LEAVING, f"cancelled documents are still being embedded after {taken:.3f} s"

    async def test_a_cancelled_call_leaves_its_neighbours_alone(self, embedder: Embedder) -> None:
        """A cancelled call leaves the others alone: do not cancel a batch that other callers share."""
        expected = await embedder.embed(_TEXTS, "document")
        calls = [asyncio.create_task(embedder.embed([_TEXTS[n % 5]], "document")) for n in range(40)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for n in range(1, 40, 2):
            answer = answers[n]
            assert not isinstance(answer, BaseException), answer
            assert cosine(answer[0], expected[n % 5]) > SAME

    async def test_it_can_be_closed_twice(self, embedder: Embedder) -> None:
        """`aclose` can be called twice: let the second call do nothing."""
        await embedder.embed(_TEXTS[:1], "query")
        await embedder.aclose()
        await embedder.aclose()


def check_vector(vector: Vector, dimension: int) -> None:
    """Assert that ``vector`` has ``dimension`` finite floats and unit length."""
    assert len(vector) == dimension, f"a vector of {len(vector)} numbers, dimension is {dimension}"
    assert all(math.isfinite(x) for x in vector), "a number that is not finite"
    length = math.sqrt(cosine(vector, vector))
    assert math.isclose(length, 1.0, abs_tol=1e-3), f"a vector of length {length:.4g}"


async def _work(embedder: Embedder, seconds: float) -> list[str]:
    """Documents that keep ``embedder`` busy for about ``seconds``, by its own speed."""
    count = 4
    while True:
        start = time.perf_counter()
        await embedder.embed([_PARAGRAPH] * count, "document")
        taken = time.perf_counter() - start
        if taken > seconds / 10 or count >= 20_000:
            return [_PARAGRAPH] * min(20_000, math.ceil(count * seconds / taken))
        count *= 4


async def _longest_stall(embedder: Embedder, texts: Sequence[str]) -> float:
    documents = asyncio.create_task(embedder.embed(texts, "document"))
    worst = 0.0
    while not documents.done():
        start = time.perf_counter()
        await asyncio.sleep(0.001)
        worst = max(worst, time.perf_counter() - start - 0.001)
    await documents
    return worst


async def _query_beside(embedder: Embedder, texts: Sequence[str]) -> float:
    documents = asyncio.create_task(embedder.embed(texts, "document"))
    await asyncio.sleep(0.05)
    start = time.perf_counter()
    (vector,) = await embedder.embed([_TEXTS[0]], "query")
    waited = time.perf_counter() - start
    assert not documents.done(), "the query waited for the documents"
    check_vector(vector, embedder.dimension)
    await _cancelled(documents)
    return waited


async def _document_after_cancelled(embedder: Embedder, texts: Sequence[str]) -> float:
    documents = asyncio.create_task(embedder.embed(texts, "document"))
    await asyncio.sleep(0.05)
    await _cancelled(documents)
    assert documents.cancelled()
    start = time.perf_counter()
    await embedder.embed(_TEXTS[:1], "document")
    return time.perf_counter() - start


async def _cancelled(task: asyncio.Task[Sequence[Vector]]) -> None:
    task.cancel()
    await asyncio.wait([task])
