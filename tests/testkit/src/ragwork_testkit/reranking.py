"""The contract of a reranking provider, as tests to subclass.

    class TestMyReranker(RerankerContract):
        async def make(self) -> Reranker:
            return MyReranker()

Each test gets a new reranker from ``make`` and closes it. Cache what is slow to load in your class.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ragwork_hooks.reranking import RERANKER, Reranker

from ragwork_testkit.contract import ProviderContract

#: How far two scores of the same text may lie apart, for models whose arithmetic depends on what else is in a batch.
SAME: Final = 0.02

_QUESTIONS: Final = (
    "When does the harbour master close the lock gates?",
    "Why does bread dough rise faster in a warm kitchen?",
    "Why did the court dismiss the appeal?",
    "What do graphite rods do in the reactor core?",
)
#: The text of each place answers the question of the same place.
_ANSWERS: Final = (
    "The harbour master closes the lock gates at low tide.",
    "Bread dough rises faster in a warm kitchen because yeast likes warmth.",
    "The court dismissed the appeal for lack of evidence.",
    "Graphite rods slow the reaction in the reactor core.",
)
_ODD_TEXTS: Final = {
    "empty": "",
    "blank": " \t\n ",
    "control characters": "a\x00b\x07\x1b[31m\x7f",
    "unpaired surrogate": "tide \ud800 gate",
    "another script": "水门在退潮时关闭。",
    "markup": '<b>{"query": "tide"}</b> \\ %s',
}


class RerankerContract(ProviderContract):
    """Tests that every ``Reranker`` passes. Override ``make`` and nothing else."""

    kind = RERANKER

    async def make(self) -> Reranker:
        """A new, open reranker."""
        reranker: Reranker = await super().make()
        return reranker

    @pytest.fixture
    async def reranker(self) -> AsyncIterator[Reranker]:
        async with self._live() as reranker:
            yield reranker

    async def _use(self, made: Reranker, root: str = "") -> object:
        return await made.rerank(_QUESTIONS[0], _ANSWERS)

    def test_it_has_a_name(self, reranker: Reranker) -> None:
        """A reranker has a name: set `name`."""
        assert reranker.name

    async def test_no_texts_give_no_scores(self, reranker: Reranker) -> None:
        """No texts give no scores: return `[]` for `[]` before the service is asked."""
        assert list(await reranker.rerank(_QUESTIONS[0], [])) == []

    async def test_each_text_has_a_relevance_from_0_to_1(self, reranker: Reranker) -> None:
        """Each text has one relevance from 0.0 to 1.0: bring what the model gives to this range."""
        for question in _QUESTIONS:
            check_scores(await reranker.rerank(question, _ANSWERS), len(_ANSWERS))

    async def test_what_answers_the_question_is_the_most_relevant(self, reranker: Reranker) -> None:
        """The text that answers has the largest relevance: larger is better."""
        for place, question in enumerate(_QUESTIONS):
            scores = list(await reranker.rerank(question, _ANSWERS))
            assert scores.index(max(scores)) == place, f"{question!r} scores {scores}"

    async def test_scores_come_in_the_order_of_the_texts(self, reranker: Reranker) -> None:
        """Scores come in the order of their texts: sort what comes back by its index, not by its score."""
        texts = [f"{_ANSWERS[n % 4]} Case {n}." for n in range(11)]
        forwards = await reranker.rerank(_QUESTIONS[0], texts)
        backwards = await reranker.rerank(_QUESTIONS[0], texts[::-1])
        check_same(forwards, list(backwards)[::-1])

    async def test_a_score_does_not_hang_on_the_other_texts(self, reranker: Reranker) -> None:
        """A text has the same relevance whatever others are judged in the same call: don't divide by the best."""
        together = await reranker.rerank(_QUESTIONS[0], _ANSWERS)
        alone = [(await reranker.rerank(_QUESTIONS[0], [text]))[0] for text in _ANSWERS]
        check_same(together, alone)

    async def test_more_texts_than_a_service_takes_at_once_are_scored(self, reranker: Reranker) -> None:
        """As many texts as there are get scores: ask a service with a limit several times."""
        texts = [f"{_ANSWERS[n % 4]} Number {n}." for n in range(150)]
        check_scores(await reranker.rerank(_QUESTIONS[0], texts), len(texts))

    async def test_a_long_text_is_judged_by_its_beginning(self, reranker: Reranker) -> None:
        """A text that is too long is cut, not refused: send its beginning."""
        long, other = await reranker.rerank(_QUESTIONS[0], [_ANSWERS[0] + " and so on" * 40_000, _ANSWERS[1]])
        check_scores([long, other], 2)
        assert long > other

    @pytest.mark.parametrize("odd", _ODD_TEXTS.values(), ids=_ODD_TEXTS.keys())
    async def test_any_question_and_any_text_are_taken(self, reranker: Reranker, odd: str) -> None:
        """Any text has a relevance, to any question, also an empty or ill-formed one: replace unpaired surrogates, and
        send something for a blank text if the service refuses it.
        """
        check_scores(await reranker.rerank(_QUESTIONS[0], [odd, _ANSWERS[0]]), 2)
        check_scores(await reranker.rerank(odd, [_ANSWERS[0], odd]), 2)

    @given(question=st.text(st.characters(), max_size=100), text=st.text(st.characters(), max_size=300))
    @settings(
        max_examples=30,
        derandomize=True,
        deadline=None,
        # One reranker serves all examples, and each subclass runs the inherited test.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    async def test_whatever_is_asked_has_a_score(self, reranker: Reranker, question: str, text: str) -> None:
        """Any text has a relevance, to any question, also an empty or ill-formed one: replace unpaired surrogates, and
        send something for a blank text if the service refuses it.
        """
        check_scores(await reranker.rerank(question, [text]), 1)

    async def test_concurrent_callers_get_their_own_scores(self, reranker: Reranker) -> None:
        """Each of many callers gets the scores of its own texts: keep what belongs to a call in its own variables."""
        expected = [list(await reranker.rerank(question, _ANSWERS)) for question in _QUESTIONS]
        answers = await asyncio.gather(*(reranker.rerank(_QUESTIONS[n % 4], _ANSWERS) for n in range(40)))
        for n, answer in enumerate(answers):
            check_same(answer, expected[n % 4])

    async def test_it_can_be_closed_twice(self, reranker: Reranker) -> None:
        """`aclose` can be called twice: let the second call do nothing."""
        await reranker.rerank(_QUESTIONS[0], _ANSWERS)
        await reranker.aclose()
        await reranker.aclose()


def check_scores(scores: Sequence[float], count: int) -> None:
    """Assert that there are ``count`` scores from 0.0 to 1.0."""
    assert len(scores) == count, f"{len(scores)} scores for {count} texts"
    for score in scores:
        assert math.isfinite(score), "a score that is not finite"
        assert 0.0 <= score <= 1.0, f"a score of {score}"


def check_same(scores: Sequence[float], others: Sequence[float]) -> None:
    """Assert that both say the same of each text."""
    assert len(scores) == len(others)
    for place, (score, other) in enumerate(zip(scores, others, strict=True)):
        assert abs(score - other) <= SAME, f"text {place} scored {score} and {other}"
