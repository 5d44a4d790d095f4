"""Finding a quote in a passage: the check that a citation is true."""

import re
from typing import TypeAlias

from ragwork_toolkit.sentences import Sentences

Span: TypeAlias = tuple[int, int]

QUOTE_LIMIT = 400
_LINE = re.compile(r"[^\n]+")
_SOLID = re.compile(r"\S+")
_WORD = re.compile(r"\w{3,}")


def locate(text: str, quote: str) -> Span | None:
    """Where ``quote`` stands in ``text``, white space aside; ``None`` when it does not."""
    quote = quote.strip()
    if not quote or len(quote) > len(text) * 2:
        return None
    start = text.find(quote)
    if start >= 0:
        return start, start + len(quote)
    flat, places = _single_spaced(text)
    wanted = " ".join(quote.split())
    start = flat.find(wanted)
    return None if start < 0 else (places[start], places[start + len(wanted) - 1] + 1)


def _single_spaced(text: str) -> tuple[str, list[int]]:
    """``text`` with one space between words, and where each of its characters stands in ``text``."""
    words: list[str] = []
    places: list[int] = []
    for word in _SOLID.finditer(text):
        if words:
            places.append(word.start() - 1)
        words.append(word[0])
        places.extend(range(*word.span()))
    return " ".join(words), places


def best_sentence(text: str, statement: str) -> Span | None:
    """The sentence of ``text`` that shares most words with ``statement``, the first of equals.

    ``None`` when ``text`` has no sentence. At most ``QUOTE_LIMIT`` characters.
    """
    wanted = _words(statement)
    best: Span | None = None
    most = -1
    splitter = Sentences(text)
    for line in _LINE.finditer(text):
        for start, end in splitter.spans(*line.span()):
            shared = len(wanted & _words(text[start:end]))
            if shared > most:
                most, best = shared, (start, min(end, start + QUOTE_LIMIT))
    return best


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}
