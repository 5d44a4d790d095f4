"""Cutting a text into overlapping pieces at the best boundary that fits.

Pure: text in, character offsets out. A piece is filled up to the size, so short paragraphs share one;
it ends, in order of preference, before a heading, after a paragraph, a line, a sentence, a word. A table
is cut between rows, and each piece of it begins with the table's header. A list or fenced code that fits
in a piece stays whole, with the line that announces it; a longer one is cut between items or lines.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

import attrs
from ragwork_hooks.fields import is_visible
from ragwork_toolkit.sentences import Sentences

from ragwork_documents.ingestion.line_blocks import LineBlocks
from ragwork_documents.ingestion.tables import Table, Tables

DEFAULT_SIZE: Final = 1200
DEFAULT_OVERLAP: Final = 150
#: Smaller pieces would say little each and cost an index entry and a vector.
MIN_SIZE: Final = 64
#: A header longer than this share of the size is not repeated.
_HEADER_SHARE: Final = 4

_HEADING = re.compile(r"\n(?=#{1,6}[ \t])")
_PARAGRAPH = re.compile(r"\n[ \t\r]*\n")
_LINE = re.compile(r"\n")
_WORD = re.compile(r"\s+")
# Start and end of a range → where a piece may end in it, and where the one after it then begins.
_Boundary: TypeAlias = Callable[[int, int], Iterator[tuple[int, int]]]
_NOT_SPACE = re.compile(r"\S")
# A heading's marks and the blank after a word stand past the limit when the cut falls right before them.
_BEYOND: Final = 8


@attrs.frozen
class Span:
    """Characters ``start`` (included) to ``end`` (excluded) of a text, below those of a table's ``header``."""

    start: int
    end: int
    header: tuple[int, int] | None = None

    def of(self, text: str) -> str:
        """The piece: header, line end and span."""
        piece = text[self.start : self.end]
        return piece if self.header is None else f"{text[slice(*self.header)]}\n{piece}"


def split(
    text: str, size: int = DEFAULT_SIZE, overlap: int = DEFAULT_OVERLAP, *, markdown: bool = False
) -> Iterator[Span]:
    """Spans of ``text`` in order: each piece has at most ``size`` characters, no outer whitespace, and something
    to see. Together they hold every character that can be seen.

    Neighbours share at most ``overlap`` characters, at most half of the former, and no rows of a table, items of
    a list or lines of code: all pieces together are less than three times the text. Raises ``ValueError`` unless
    0 <= overlap < size.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"overlap {overlap} must be at least 0 and less than size {size}")
    line, paragraph, word = (_matches(pattern, text) for pattern in (_LINE, _PARAGRAPH, _WORD))
    sentence: _Boundary = Sentences(text).breaks
    boundaries: Sequence[_Boundary] = (paragraph, sentence, line, word)
    if markdown:
        boundaries = (_matches(_HEADING, text), paragraph, line, sentence, word)
    tables, line_blocks = Tables(text), LineBlocks(text)
    start = covered = _skip_space(text, 0)
    while start < len(text):
        header = _header(text, tables.around(start), start, size)
        room = size if header is None else size - (header[1] - header[0] + 1)
        end = _cut(len(text), start, covered, room, boundaries)
        end = _between_rows(text, tables, start, covered, end)
        end = _between_lines(text, line_blocks, start, covered, end, size)
        span = Span(start, start + len(text[start:end].rstrip()), header)
        if is_visible(text[span.start : span.end]):
            yield span
        covered = _skip_space(text, end)
        if covered >= len(text):
            return
        start = _skip_space(text, _resume(span, covered, size, overlap, (sentence, word)))
        if any(tables.around(place + 1) or line_blocks.around(place + 1) for place in (start, covered)):
            start = covered


def _header(text: str, table: Table | None, start: int, size: int) -> tuple[int, int] | None:
    """The header to repeat above a piece that begins at ``start``."""
    if table is None or start < table.body:
        return None
    end = table.start + len(text[table.start : table.body].rstrip())
    return (table.start, end) if end - table.start <= size // _HEADER_SHARE else None


def _between_rows(text: str, tables: Tables, start: int, covered: int, end: int) -> int:
    """``end``, moved before the table or the row that it would divide, where that leaves a piece."""
    table = tables.around(end)
    if table is None:
        return end
    row = table.start if end <= table.body else text.rfind("\n", 0, end) + 1
    return row if row > max(start, covered) and text[start:row].strip() else end


def _between_lines(text: str, line_blocks: LineBlocks, start: int, covered: int, end: int, size: int) -> int:
    """``end``, moved before the list or the code that it would divide where that fits in a piece, else before the
    item or the line; where that leaves a piece.
    """
    block = line_blocks.around(end)
    if block is None:
        return end
    places = [min(end, block.break_before(end))]
    if block.end - block.announced <= size:
        places = [block.announced, *places]
    for place in places:
        if place > max(start, covered) and text[start:place].strip():
            return place
    return end


def _cut(length: int, start: int, covered: int, size: int, boundaries: Sequence[_Boundary]) -> int:
    """Where the piece from ``start`` ends: past ``covered``, so that every piece brings something new."""
    limit = start + size
    if limit >= length:
        return length
    # Boundaries in the first half would make small pieces.
    low = max(start + size // 2, covered + 1)
    for boundary in boundaries:
        best = 0
        for stop, resume in boundary(low, min(limit + _BEYOND, length)):
            if stop > limit:
                break
            best = min(resume, limit)
        if best:
            return best
    return limit


def _resume(span: Span, covered: int, size: int, overlap: int, boundaries: Sequence[_Boundary]) -> int:
    """Where the piece after ``span`` starts: at the first boundary within its last ``overlap`` characters."""
    # No more than half of the piece: what is ahead is at least half new, whatever the overlap.
    low = max(span.end - overlap, (span.start + span.end + 1) // 2, span.start + 1)
    if low >= span.end or low + size <= covered:
        return covered
    for boundary in boundaries:
        # The character before the window may itself be the boundary.
        resume = next((resume for _, resume in boundary(low - 1, span.end)), 0)
        if low <= resume < span.end:
            return resume
    return low


def _matches(pattern: re.Pattern[str], text: str) -> _Boundary:
    def found(start: int, end: int) -> Iterator[tuple[int, int]]:
        for match in pattern.finditer(text, start, end):
            yield match.start() + len(match.group().rstrip()), match.end()

    return found


def _skip_space(text: str, start: int) -> int:
    match = _NOT_SPACE.search(text, start)
    return match.start() if match else len(text)
