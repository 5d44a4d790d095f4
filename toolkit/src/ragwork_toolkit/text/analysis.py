"""The terms of a text: what an index stores, a question asks for and an answer compares."""

from collections import Counter
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Final, NamedTuple

from ragwork_toolkit.text.analysers import ANALYSERS
from ragwork_toolkit.text.normalization import fold_accents, fold_case, normalize
from ragwork_toolkit.text.segmentation import Word, words
from ragwork_toolkit.text.stemming import stem

#: Distinct words of a question that are looked at.
MOST_WORDS: Final = 200
#: Abbreviations in capitals are told from the word of the same letters up to this length: IT, WHO, AM.
_LONGEST_ACRONYM: Final = 5
#: Han characters that are grammar when they stand alone.
_PARTICLES: Final = frozenset("的了是在和有不这這那也就都与與及或为為之于於被把吗嗎呢吧")
#: So many words in capitals are no shouting yet.
_FEW_WORDS: Final = 3


class Term(NamedTuple):
    """What a word is found by."""

    text: str
    #: A word that most texts of its language have: it tells little, and is costly to look up.
    stop: bool


class QuestionTerm(NamedTuple):
    """What a question's word is found by in texts of some languages."""

    text: str
    stop: bool
    #: The analysers that make it of the word: bit n is that of ``ANALYSERS[n]``.
    analysers: int


def term_counts(text: str, language: str) -> Counter[str]:
    """The terms of ``text`` in their order, and how often it has each. ``language`` (ISO 639-1) chooses the stems."""
    normal = normalize(text)
    shouting = _is_shouted(normal)
    counts: Counter[str] = Counter()
    for word, times in Counter(words(normal)).items():
        for term in _terms(word, language, shouting):
            counts[term.text] += times
    return counts


def terms(text: str, language: str) -> list[Term]:
    """Every occurrence of a term in ``text``, in order."""
    normal = normalize(text)
    shouting = _is_shouted(normal)
    return [term for word in words(normal) for term in _terms(word, language, shouting)]


def question_terms(text: str) -> Counter[QuestionTerm]:
    """The terms of a question, as texts in each language have them; words alike may share one.

    Of its ``MOST_WORDS`` most frequent words, then the first ones.
    """
    normal = normalize(text)
    shouting = _is_shouted(normal)
    counts: Counter[QuestionTerm] = Counter()
    for word, times in Counter(words(normal)).most_common(MOST_WORDS):
        for term in _in_all_languages(word, shouting):
            counts[term] += times
    return counts


@lru_cache(maxsize=10_000)
def _in_all_languages(word: Word, shouting: bool) -> tuple[QuestionTerm, ...]:
    analysers: dict[Term, int] = {}
    for bit, language in enumerate(ANALYSERS):
        for term in _terms(word, language, shouting):
            analysers[term] = analysers.get(term, 0) | 1 << bit
    return tuple(QuestionTerm(*term, bits) for term, bits in analysers.items())


@lru_cache(maxsize=50_000)
def _terms(word: Word, language: str, shouting: bool) -> tuple[Term, ...]:
    return tuple(_made(word, language, shouting=shouting))


def _made(word: Word, language: str, *, shouting: bool) -> Iterator[Term]:
    if word.literal:
        yield Term(fold_accents(fold_case(word.text), language), stop=word.text in _PARTICLES)
        return
    stop = fold_case(word.text) in stop_words(language)
    if stemmed := stem(word.text, language):  # accents alone leave nothing
        yield Term(stemmed, stop=stop)
    if stop and not shouting and 1 < len(word.text) <= _LONGEST_ACRONYM and word.text.isupper():
        yield Term(word.text, stop=False)


def _is_shouted(text: str) -> bool:
    """Everything is in capitals, so that they tell nothing; an abbreviation alone is none."""
    return text.isupper() and len(text.split()) > _FEW_WORDS


@cache
def stop_words(language: str) -> frozenset[str]:
    """The most frequent words of ``language``, folded; empty where the list has none of it."""
    return _read().get(language, frozenset())


@cache
def _read() -> MappingProxyType[str, frozenset[str]]:
    lines = resources.files("ragwork_toolkit.text").joinpath("stop_words.txt").read_text("utf-8").splitlines()
    named = (line.partition(": ") for line in lines if line and not line.startswith("#"))
    return MappingProxyType(
        {language: frozenset(map(fold_case, listed.split())) for language, _, listed in named}
    )
