"""Words as the scorer compares them: stems, and how much a question's word weighs."""

import re
from collections.abc import Callable

from ragwork_extractive.wordlists import STOPWORDS, WEAK

# Han, kana and hangul are written without spaces: pairs of characters stand for words.
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_UNSPACED}]+|(?:(?![{_UNSPACED}])[^\W_])+")
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
#: Longer runs are data, not words; also bounds the stemmer.
_MAX_WORD = 40
_CACHE_SIZE = 50_000
#: A question keeps this many different words from its beginning, and as many from its end.
_HALF_QUESTION = 96

_WEAK_WEIGHT = 0.3
# Names and numbers say what a question is about: they weigh double.
_NAME_WEIGHT = 2.0
_HIRAGANA = re.compile("[\u3040-\u309f]")


def words(text: str) -> list[str]:
    """The words of ``text`` in order, case-folded, function words included."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    found: list[str] = []
    for run in _WORD.findall(text.casefold()):
        if _IS_UNSPACED.match(run):
            found.extend(run[i : i + 2] for i in range(max(1, len(run) - 1)))
        else:
            found.append(run)
    return found


class Stems:
    """Stems of English words, remembered. Safe to share between threads."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._weak = frozenset(self.of(set(WEAK)).values())

    def of(self, vocabulary: set[str]) -> dict[str, str]:
        """Word → stem for every word of ``vocabulary``."""
        known = self._known
        missing = [word for word in vocabulary if word not in known]
        if missing:
            if len(known) + len(missing) > _CACHE_SIZE:
                known = self._known = {}
                missing = list(vocabulary)
            # Its tables take 0.1 s to import; the first call is the provider's opening, in a thread.
            import snowballstemmer  # type: ignore[import-untyped]  # it ships no types

            # A stemmer keeps the word at hand in itself, so each call has its own.
            stem: Callable[[str], str] = snowballstemmer.stemmer("english").stemWord
            known.update((word, stem(word) if len(word) <= _MAX_WORD else word) for word in missing)
        return {word: known[word] for word in vocabulary}

    def question(self, text: str) -> dict[str, float]:
        """Content stems of a question in order, with their weight before rarity is looked at."""
        content = list(dict.fromkeys(word for word in words(text) if word not in STOPWORDS))
        if len(content) > 2 * _HALF_QUESTION:
            content = content[:_HALF_QUESTION] + content[-_HALF_QUESTION:]
        stems = self.of(set(content))
        names = _names(text)
        weights: dict[str, float] = {}
        for word in content:
            weights.setdefault(stems[word], self._weight(word, stems[word], names))
        return weights

    def _weight(self, word: str, stem: str, names: frozenset[str]) -> float:
        # Hiragana is mostly grammar, so a pair with it stands for no word.
        if stem in self._weak or _HIRAGANA.search(word):
            return _WEAK_WEIGHT
        return _NAME_WEIGHT if word in names or word[0].isdigit() else 1.0


def _names(text: str) -> frozenset[str]:
    """Words with a capital letter that does not merely begin the text, case-folded."""
    return frozenset(word.casefold() for word in _WORD.findall(text)[1:] if word[0].isupper())
