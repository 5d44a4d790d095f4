"""Cutting a text into overlapping pieces at the best boundary that fits.

Pure: text in, character offsets out. A piece is filled up to the size, so short paragraphs share one;
it ends, in order of preference, before a heading, after a paragraph, a line, a sentence, a word.
"""

import re
from collections.abc import Iterator
from typing import Final

import attrs

DEFAULT_SIZE: Final = 1200
DEFAULT_OVERLAP: Final = 150

_HEADING = re.compile(r"\n(?=#{1,6}[ \t])")
_PARAGRAPH = re.compile(r"\n[ \t\r]*\n")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile("[.!?\u2026][\"'\u201d\u2019)\\]]*\\s+|[\u3002\uff01\uff1f]")
_WORD = re.compile(r"\s+")
_PLAIN: Final = (_PARAGRAPH, _SENTENCE, _LINE, _WORD)
_MARKDOWN: Final = (_HEADING, _PARAGRAPH, _LINE, _SENTENCE, _WORD)
_RESUME: Final = (_SENTENCE, _WORD)
_NOT_SPACE = re.compile(r"\S")
# A heading's marks and the blank after a word stand past the limit when the cut falls right before them.
_BEYOND: Final = 8


@attrs.frozen
class Span:
    """Characters ``start`` (included) to ``end`` (excluded) of a text."""

    start: int
    end: int


def split(
    text: str, size: int = DEFAULT_SIZE, overlap: int = DEFAULT_OVERLAP, *, markdown: bool = False
) -> Iterator[Span]:
    """Spans of ``text`` in order: each at most ``size`` characters and without outer whitespace.

    Together they hold every character that is not whitespace. Neighbours share at most ``overlap``
    characters, none when it is 0. Raises ``ValueError`` unless 0 <= overlap < size.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"overlap {overlap} must be at least 0 and less than size {size}")
    boundaries = _MARKDOWN if markdown else _PLAIN
    start = covered = _skip_space(text, 0)
    while start < len(text):
        end = _cut(text, start, covered, size, boundaries)
        span = Span(start, start + len(text[start:end].rstrip()))
        yield span
        covered = _skip_space(text, end)
        if covered >= len(text):
            return
        start = _resume(text, span, covered, size, overlap)


def _cut(text: str, start: int, covered: int, size: int, boundaries: tuple[re.Pattern[str], ...]) -> int:
    """Where the piece from ``start`` ends: past ``covered``, so that every piece brings something new."""
    limit = start + size
    if limit >= len(text):
        return len(text)
    # Boundaries in the first half would make small pieces.
    low = max(start + size // 2, covered + 1)
    for pattern in boundaries:
        best = 0
        for match in pattern.finditer(text, low, limit + _BEYOND):
            if match.start() + len(match.group().rstrip()) > limit:
                break
            best = min(match.end(), limit)
        if best:
            return best
    return limit


def _resume(text: str, span: Span, covered: int, size: int, overlap: int) -> int:
    """Where the piece after ``span`` starts: at the first boundary within its last ``overlap`` characters."""
    low = max(span.end - overlap, span.start + 1)
    if low >= span.end or low + size <= covered:
        return covered
    for pattern in _RESUME:
        # The character before the window may itself be the boundary.
        match = pattern.search(text, low - 1, span.end)
        if match is not None and low <= match.end() < span.end:
            low = match.end()
            break
    return _skip_space(text, low)


def _skip_space(text: str, start: int) -> int:
    match = _NOT_SPACE.search(text, start)
    return match.start() if match else len(text)
