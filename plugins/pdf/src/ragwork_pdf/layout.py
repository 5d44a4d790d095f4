"""Lines to paragraphs, lists and headings: by the space between them, and by the size of their letters."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from ragwork_toolkit.parsing.block_list import BlockList, are_names

from ragwork_pdf.page_text import Line, PdfPage, TableRows

#: A heading's letters are larger than the text's by this factor, and it is no longer than this.
_LARGER: Final = 1.15
_LONGEST_HEADING: Final = 200
#: A paragraph begins after more space than usual by this factor.
_SPACE: Final = 1.2
#: What distance between lines, in heights of one, may be usual.
_USUAL: Final = (1.0, 2.5)
_INDENT: Final = 0.7
_ITEM: Final = re.compile(r"(?:[\u2022\u2023\u25aa\u25cf\u25e6\u2013\uf0b7*-]|\(?\d{1,3}[.)]|[a-z]\))\s+\S")
_LETTER: Final = re.compile(r"[^\W\d_]")
_DIGITS: Final = re.compile(r"\d+")
#: How PDFium marks a hyphen at a line's end.
_HYPHENS: Final = ("\ufffe", "\x02", "\u00ad")
#: Lines at the top and at the bottom of a page that may be the same on every page.
_MARGIN_LINES: Final = 2
_FEWEST_PAGES: Final = 3


class Layout:
    """All pages, for what only all of them tell: which letters are large, and what every page repeats."""

    def __init__(self, pages: Sequence[PdfPage]) -> None:
        self._pages = pages
        sizes: Counter[float] = Counter()
        for line in (item for page in pages for item in page.items if isinstance(item, Line)):
            sizes[_rounded(line.size)] += len(line.text)
        self._body = sizes.most_common(1)[0][0] if sizes else 0.0
        large = sorted((size for size in sizes if size > self._body * _LARGER), reverse=True)
        self._levels = {size: min(level, 6) for level, size in enumerate(large, 1)}
        self._space = _usual_space(pages) * _SPACE
        self._repeated = _repeated(pages)
        #: Of the table before, if no text came after it.
        self._columns: tuple[str, ...] = ()
        self._table_page = 0

    def fill(self, blocks: BlockList) -> None:
        """Every block, with its page. Raises ``ParseError``."""
        for number, page in enumerate(self._pages, 1):
            for part in self._parts(page):
                if isinstance(part, TableRows):
                    self._table(part, blocks, number)
                else:
                    self._columns = ()
                    self._text(part, blocks, number)

    def _parts(self, page: PdfPage) -> Iterator[list[Line] | TableRows]:
        """Tables, and the lines of one paragraph, list or heading each."""
        lines: list[Line] = []
        for item in page.items:
            if isinstance(item, Line) and _key(item) in self._repeated:
                continue
            if lines and (isinstance(item, TableRows) or self._begins(lines[0], lines[-1], item)):
                yield lines
                lines = []
            if isinstance(item, TableRows):
                yield item
            else:
                lines.append(item)
        if lines:
            yield lines

    def _begins(self, first: Line, before: Line, line: Line) -> bool:
        """Whether ``line`` begins something else than what goes from ``first`` to the line before it."""
        size = max(before.size, line.size, 1.0)
        if abs(before.size - line.size) > size * 0.12:
            return True
        if _ITEM.match(line.text):
            return not _ITEM.match(first.text)
        down = before.box.bottom - line.box.bottom
        ended = before.text.endswith((".", "!", "?", ":", "。"))
        if down < -size:  # the next column goes on with the sentence
            return ended
        return down > size * self._space or (ended and line.box.left - before.box.left > size * _INDENT)

    def _text(self, lines: Sequence[Line], blocks: BlockList, page: int) -> None:
        text = _joined(lines)
        level = self._levels.get(_rounded(lines[0].size))
        if level is not None and len(text) <= _LONGEST_HEADING and _LETTER.search(text):
            blocks.heading(level, text, page=page)
        elif _ITEM.match(lines[0].text):
            blocks.add("list", "\n".join(_items(lines)), page=page)
        else:
            blocks.add("paragraph", text, page=page)

    def _table(self, table: TableRows, blocks: BlockList, page: int) -> None:
        rows = [tuple(row) for row in table.rows]
        if not rows:
            return
        goes_on = page == self._table_page + 1 and len(rows[0]) == len(self._columns)
        if goes_on and rows[0] == self._columns:
            rows = rows[1:]
        elif not goes_on:
            self._columns = rows[0] if len(rows) > 1 and are_names(rows[0]) else ()
            rows = rows[1:] if self._columns else rows
        self._table_page = page
        for row in rows:
            blocks.row(row, self._columns, page=page)


def _usual_space(pages: Sequence[PdfPage]) -> float:
    """The commonest distance between two lines, in heights of a line."""
    counts: Counter[float] = Counter()
    for page in pages:
        for before, line in pairwise(page.items):
            if isinstance(before, Line) and isinstance(line, Line) and line.size > 1:
                space = round((before.box.bottom - line.box.bottom) / line.size * 20) / 20
                counts[space] += _USUAL[0] <= space <= _USUAL[1]
    return counts.most_common(1)[0][0] if counts.total() else _USUAL[0]


def _repeated(pages: Sequence[PdfPage]) -> frozenset[str]:
    """What most pages have at their top or bottom, page numbers aside."""
    counts: Counter[str] = Counter()
    for page in pages:
        lines = [item for item in page.items if isinstance(item, Line)]
        margins = [*lines[:_MARGIN_LINES], *lines[-_MARGIN_LINES:]]
        counts.update({_key(line) for line in margins})
    least = max(_FEWEST_PAGES, len(pages) * 0.5)
    return frozenset(key for key, count in counts.items() if count >= least)


def _key(line: Line) -> str:
    """Its text without numbers, and its height on the page: the same words elsewhere are text."""
    return f"{_DIGITS.sub('#', line.text)} {round(line.box.bottom / 10)}"


def _rounded(size: float) -> float:
    return round(size * 2) / 2


def _items(lines: Sequence[Line]) -> Iterator[str]:
    item: list[Line] = []
    for line in lines:
        if item and _ITEM.match(line.text):
            yield _joined(item)
            item = []
        item.append(line)
    yield _joined(item)


def _joined(lines: Sequence[Line]) -> str:
    """One text; words that a line's end cut are whole again."""
    text = ""
    for line in lines:
        if text.endswith(_HYPHENS) or (
            text.endswith("-") and line.text[:1].islower() and text[-2:-1].isalpha()
        ):
            text = text[:-1]
        elif text:
            text += " "
        text += line.text
    return text.rstrip("".join(_HYPHENS))
