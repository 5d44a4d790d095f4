"""The terms of chunks and of questions, by the analyser that both share.

That is imported where it is used: the first time takes 60 ms, so a retriever does it when it is opened.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import attrs

#: Distinct terms of a question that are looked up in each language; the most frequent, then the first ones.
QUESTION_TERMS: Final = 64
#: A question with as many other words doesn't look up its stop words: they change little, and have long postings.
ENOUGH_WORDS: Final = 2


@attrs.frozen
class Postings:
    """The terms of a document's chunks, as columns of equal length."""

    ordinals: list[int] = attrs.field(factory=list)
    terms: list[str] = attrs.field(factory=list)
    frequencies: list[int] = attrs.field(factory=list)

    @staticmethod
    def of(chunks: Iterable[tuple[int, str]], analyser: str) -> "Postings":
        """Of chunks by ordinal and text. Off the event loop for more than a few chunks: 1 MB of text takes a second."""
        from ragwork_toolkit.text.analysis import term_counts

        made = Postings()
        for ordinal, text in chunks:
            counted = term_counts(text, analyser)
            made.ordinals.extend([ordinal] * len(counted))
            made.terms.extend(counted)
            made.frequencies.extend(counted.values())
        return made


@attrs.frozen
class QuestionTerms:
    """What a question asks for in documents that each analyser read, as columns of equal length."""

    terms: list[str] = attrs.field(factory=list)
    #: Whether it is a stop word.
    stops: list[bool] = attrs.field(factory=list)
    #: Bit n: what the analyser ``ANALYSERS[n]`` makes of the question has it.
    analysers: list[int] = attrs.field(factory=list)
    weights: list[int] = attrs.field(factory=list)

    @staticmethod
    def of(text: str) -> "QuestionTerms":
        """Documents are read by their language's analyser, so the question is read by each: some 0.1 ms."""
        from ragwork_toolkit.text.analysis import question_terms

        made = QuestionTerms()
        for term, weight in question_terms(text).items():
            made.terms.append(term.text)
            made.stops.append(term.stop)
            made.analysers.append(term.analysers)
            made.weights.append(weight)
        return made

    def asked(self, analysers: int) -> Sequence["AskedTerm"]:
        """The terms that are looked up in documents of ``analysers``, a bit for each of ``ANALYSERS``."""
        chosen: dict[int, int] = {}
        while analysers:
            bit = analysers & -analysers
            analysers ^= bit
            for number in self._of(bit):
                chosen[number] = chosen.get(number, 0) | bit
        return [
            AskedTerm(text=self.terms[number], analysers=mask, weight=self.weights[number])
            for number, mask in sorted(chosen.items())
        ]

    def _of(self, bit: int) -> Sequence[int]:
        """Places of the terms that documents of one analyser are asked for."""
        own = [number for number, analysers in enumerate(self.analysers) if analysers & bit]
        telling = [number for number in own if not self.stops[number]]
        own = telling if len(telling) >= ENOUGH_WORDS else telling + [n for n in own if self.stops[n]]
        return sorted(own, key=lambda n: (self.stops[n], -self.weights[n]))[:QUESTION_TERMS]


@attrs.frozen(kw_only=True)
class AskedTerm:
    """A term of a question. Bit n of ``analysers``: documents that ``ANALYSERS[n]`` read are looked up for it."""

    text: str
    analysers: int
    weight: int
