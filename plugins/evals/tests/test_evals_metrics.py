"""Metrics say what their definitions say, and a bootstrap is as sure as it may be."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_evals.metrics import GroundTruth, answer_scores, averages, compare, retrieval_scores

IDS = st.lists(st.sampled_from("abcdefgh"), max_size=8)


@pytest.mark.parametrize(
    ("wanted", "found", "recall", "ndcg", "mrr"),
    [
        (["a"], ["a", "b"], 1.0, 1.0, 1.0),
        (["a"], ["b", "a"], 1.0, 1 / math.log2(3), 0.5),
        (["a"], ["b", "b", "a"], 1.0, 1 / math.log2(3), 0.5),
        (["a", "b"], ["b", "c"], 0.5, 1 / (1 + 1 / math.log2(3)), 1.0),
        (["a"], [], 0.0, 0.0, 0.0),
        (["a"], ["c"], 0.0, 0.0, 0.0),
    ],
)
def test_retrieval_by_hand(wanted, found, recall, ndcg, mrr):
    scores = retrieval_scores(GroundTruth(documents=wanted), found, found)
    assert scores == pytest.approx({"recall": recall, "ndcg": ndcg, "mrr": mrr})


def test_an_expected_text_is_found_in_a_passage_whatever_its_case_and_spaces():
    expected = GroundTruth(text="30  Days")
    scores = retrieval_scores(expected, ["a", "b"], ["nothing", "there are 30\ndays of leave"])
    assert scores == pytest.approx({"recall": 1.0, "ndcg": 1 / math.log2(3), "mrr": 0.5})


def test_what_the_corpus_lacks_is_right_when_nothing_comes():
    assert retrieval_scores(GroundTruth(), [], []) == {"empty": 1.0}
    assert retrieval_scores(GroundTruth(), ["a"], ["x"]) == {"empty": 0.0}
    assert answer_scores(GroundTruth(), "no", [], []) == {"refused_lacking": 1.0}


def test_answers_by_hand():
    expected = GroundTruth(documents=["a"], text="seven")
    said = answer_scores(expected, "It opens at Seven. [1]", ["b"], ["opens at seven"])
    assert said == {"refused": 0.0, "cites": 1.0, "holds": 1.0}
    assert answer_scores(expected, "I don't know", [], []) == {"refused": 1.0, "cites": 0.0, "holds": 0.0}


@given(wanted=st.sets(st.sampled_from("abcdefgh"), min_size=1), found=IDS, more=IDS)
def test_scores_are_shares_and_more_passages_never_lower_recall(wanted, found, more):
    expected = GroundTruth(documents=sorted(wanted))
    scores = retrieval_scores(expected, found, found)
    assert all(0 <= value <= 1 for value in scores.values())
    assert retrieval_scores(expected, found + more, found + more)["recall"] >= scores["recall"]
    best = sorted(wanted)
    assert retrieval_scores(expected, best, best) == pytest.approx({"recall": 1.0, "ndcg": 1.0, "mrr": 1.0})


def test_an_average_is_over_the_questions_that_have_the_metric():
    assert averages([{"recall": 1.0}, {"recall": 0.0}, {"empty": 1.0}]) == {"recall": 0.5, "empty": 1.0}


def test_the_interval_holds_the_true_difference_about_as_often_as_it_says():
    generator = random.Random(7)
    held = 0
    for _ in range(100):
        pairs = [(generator.random(), generator.random() + 0.1) for _ in range(60)]
        first = {n: {"m": one} for n, (one, _) in enumerate(pairs)}
        second = {n: {"m": two} for n, (_, two) in enumerate(pairs)}
        (told,) = compare(first, second)
        held += told.low <= 0.1 <= told.high
    assert 88 <= held <= 100


def test_a_verdict_knows_which_direction_is_better():
    first = {n: {"recall": 0.0, "refused": 0.0, "mrr": n % 2} for n in range(40)}
    second = {n: {"recall": 1.0, "refused": 1.0, "mrr": (n + 1) % 2} for n in range(40)}
    told = {each.metric: each.verdict for each in compare(first, second)}
    assert told == {"recall": "better", "refused": "worse", "mrr": "no difference"}
