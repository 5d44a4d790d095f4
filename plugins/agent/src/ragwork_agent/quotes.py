"""Finding a quote in a passage: the check that a citation is true."""

import re
from typing import TypeAlias

from ragwork_hooks.sentences import Sentences

Span: TypeAlias = tuple[int, int]

QUOTE_LIMIT = 400
_LINE = re.compile(r"[^\n]+")
_WORD = re.compile(r"\w{3,}")


def locate(text: str, quote: str) -> Span | None:
    """Where ``quote`` stands in ``text``, white space aside; ``None`` when it does not."""
    quote = quote.strip()
    if not quote or len(quote) > len(text) * 2:
        return None
    start = text.find(quote)
    if start >= 0:
        return start, start + len(quote)
    words = r"\s+".join(re.escape(word) for word in quote.split())
    found = re.search(words, text)
    return found.span() if found else None


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
