"""Figures of retrieval and answers, for each question and over all, and how sure a difference between two runs is."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Final

import attrs

#: Resamples of the bootstrap, and the share of them that an interval holds.
RESAMPLES: Final = 2_000
CONFIDENCE: Final = 0.95
#: Figures of which less is better.
LESS_IS_BETTER: Final = frozenset({"refused"})


@attrs.frozen(kw_only=True)
class GroundTruth:
    """What a question should find: documents, or a text that a passage and the answer should hold. Without either the
    corpus has no answer to it.
    """

    documents: Sequence[str] = ()
    text: str = ""

    @property
    def is_lacking(self) -> bool:
        """Whether nothing should be found."""
        return not self.documents and not self.text


@attrs.frozen(kw_only=True)
class Difference:
    """How much more the second run has of a metric, on average over the questions of both: ``low`` to ``high`` with
    95 % confidence, by a bootstrap over the questions.
    """

    metric: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    questions: int

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, or ``no difference`` when the interval holds zero."""
        if self.low <= 0 <= self.high:
            return "no difference"
        return "better" if (self.difference > 0) != (self.metric in LESS_IS_BETTER) else "worse"


def retrieval_scores(
    expected: GroundTruth, documents: Sequence[str], texts: Sequence[str]
) -> Mapping[str, float]:
    """Of one question whose passages are of ``documents``, best first, and say ``texts``.

    ``recall`` is the share of the expected documents that were found, ``ndcg`` and ``mrr`` weigh their places; for an
    expected text, a passage with it counts as the one document. ``empty`` is 1 when nothing was found of what the
    corpus lacks.
    """
    if expected.is_lacking:
        return {"empty": float(not documents)}
    if expected.documents:
        wanted = frozenset(expected.documents)
        hits = [document in wanted for document in dict.fromkeys(documents)]
        total = len(wanted)
    else:
        first = next((place for place, text in enumerate(texts) if holds(text, expected.text)), None)
        hits = [place == first for place in range(len(texts))]
        total = 1
    gain = sum(1 / math.log2(place + 2) for place, hit in enumerate(hits) if hit)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(total, max(len(hits), 1))))
    first_hit = next((place for place, hit in enumerate(hits) if hit), None)
    return {
        "recall": sum(hits) / total,
        "ndcg": gain / ideal,
        "mrr": 0.0 if first_hit is None else 1 / (first_hit + 1),
    }


def answer_scores(
    expected: GroundTruth, text: str, cited: Sequence[str], quotes: Sequence[str]
) -> Mapping[str, float]:
    """Of one answer. ``refused`` and ``refused_lacking`` are 1 for one without citations, to a question that the corpus
    has an answer to or not; ``cites`` when a citation is of an expected document or holds the expected text; ``holds``
    when the answer holds the text.
    """
    refused = float(not cited)
    if expected.is_lacking:
        return {"refused_lacking": refused}
    by_document = any(document in expected.documents for document in cited)
    by_text = bool(expected.text) and any(holds(quote, expected.text) for quote in quotes)
    scores = {"refused": refused, "cites": float(by_document or by_text)}
    if expected.text:
        scores["holds"] = float(holds(text, expected.text))
    return scores


def holds(text: str, part: str) -> bool:
    """Whether ``part`` stands in ``text``, whatever the case and the white space."""
    return _plain(part) in _plain(text)


def averages(scores: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """Metric → mean over the questions that have it."""
    names = dict.fromkeys(name for each in scores for name in each)
    return {name: fmean(each[name] for each in scores if name in each) for name in names}


def compare(
    first: Mapping[int, Mapping[str, float]], second: Mapping[int, Mapping[str, float]]
) -> Sequence[Difference]:
    """Of two runs (question → metric → score), over the questions that both were asked."""
    both = sorted(first.keys() & second.keys())
    names = dict.fromkeys(name for n in both for name in first[n] if name in second[n])
    return [_difference(name, [(first[n], second[n]) for n in both]) for name in names]


def _difference(metric: str, pairs: Sequence[tuple[Mapping[str, float], Mapping[str, float]]]) -> Difference:
    told = [(one[metric], two[metric]) for one, two in pairs if metric in one and metric in two]
    low, high = _interval([two - one for one, two in told])
    before, after = fmean(one for one, _ in told), fmean(two for _, two in told)
    return Difference(
        metric=metric,
        first=before,
        second=after,
        difference=after - before,
        low=low,
        high=high,
        questions=len(told),
    )


def _interval(differences: Sequence[float]) -> tuple[float, float]:
    """Of the mean. The same differences give the same interval."""
    import numpy as np  # half a second that only comparisons take

    values, generator = np.array(differences), np.random.default_rng(0)
    # One resample at a time: all of them at once are a gigabyte for thousands of questions.
    means = [generator.choice(values, len(values)).mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return float(low), float(high)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
