"""The terms of chunks and of questions, by the analyser that both share.

That is imported where it is used: the first time takes 60 ms, so a retriever does it when it is opened.
"""

from collections.abc import Iterable

import attrs


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
