"""What a question is after: its terms, and how much each weighs before rarity is looked at."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

from ragwork_toolkit.text.analysers import ANALYSERS
from ragwork_toolkit.text.analysis import QuestionTerm, question_terms

from ragwork_extractive.wordlists import WEAK

#: A question keeps this many different terms a language, its first ones.
MOST_TERMS: Final = 192
_WEAK_WEIGHT = 0.3
# Names and numbers say what a question is about: they weigh double.
_NAME_WEIGHT = 2.0
# Hiragana is mostly grammar, so a pair with it stands for no word.
_HIRAGANA = re.compile("[\u3040-\u309f]")
_WORD = re.compile(r"[^\W_]+(?:[-_./'\u2019][^\W_]+)*")


class AskedTerms:
    """The terms of one question, as texts in each language have them."""

    def __init__(self, text: str) -> None:
        self._terms = list(question_terms(text))
        self._names = frozenset(question_terms(" ".join(capitalised(text))))

    def weights(self, analyser: str) -> Mapping[str, float]:
        """Term → weight, without stop words, for texts that ``analyser`` reads."""
        bit = 1 << ANALYSERS.index(analyser)
        telling = [term for term in self._terms if term.analysers & bit and not term.stop]
        return {term.text: self._weight(term, analyser) for term in telling[:MOST_TERMS]}

    def _weight(self, term: QuestionTerm, analyser: str) -> float:
        if (analyser == "en" and term.text in _weak()) or _HIRAGANA.search(term.text):
            return _WEAK_WEIGHT
        return _NAME_WEIGHT if term in self._names or term.text[0].isdigit() else 1.0


def capitalised(text: str) -> list[str]:
    """Words with a capital letter that does not merely begin the text."""
    return [word for word in _WORD.findall(text)[1:] if word[0].isupper()]


@cache
def _weak() -> frozenset[str]:
    bit = 1 << ANALYSERS.index("en")
    return frozenset(term.text for term in question_terms(" ".join(WEAK)) if term.analysers & bit)
