"""The stem of a word, by Snowball's algorithm of its language."""

import threading

import Stemmer  # type: ignore[import-not-found]  # it ships no types

from ragwork_toolkit.text.analysers import ALGORITHMS
from ragwork_toolkit.text.normalization import fold_accents, fold_case

# A stemmer keeps a word in its own memory while it works, so each thread has its own.
_stemmers = threading.local()


def stem(word: str, language: str) -> str:
    """What the forms of ``word`` share in ``language``; the folded word itself where nobody knows its language."""
    folded = fold_case(word)
    if language in ALGORITHMS:
        folded = _stemmer(language).stemWord(folded)
    return fold_accents(folded, language)


def _stemmer(language: str) -> Stemmer.Stemmer:
    known: dict[str, Stemmer.Stemmer] = _stemmers.__dict__.setdefault("by_language", {})
    if language not in known:
        known[language] = Stemmer.Stemmer(ALGORITHMS[language], 0)
    return known[language]
