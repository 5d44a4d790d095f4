"""One page: its lines in the order in which it says them, and its ruled tables in their place."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]  # it ships no types

from ragwork_pdf.ruled_tables import Box, Grid, grids

_IMAGE: Final = pdfium.FPDF_PAGEOBJ_IMAGE
_PATH: Final = pdfium.FPDF_PAGEOBJ_PATH
_TEXT: Final = pdfium.FPDF_PAGEOBJ_TEXT
#: How deep pictures may stand in each other.
_MAX_DEPTH: Final = 5
#: More drawn lines are a map or a diagram, not tables.
_MAX_PATHS: Final = 20_000
#: Fewer texts without a size may be blanks.
_MANY: Final = 10
#: By how much a cell's text may stick out of its ruling, in points.
_INSET: Final = 0.5
#: Share of the words that cells must have whole.
_WHOLE: Final = 0.97
_NO_BOX: Final = (IndexError, RuntimeError, ValueError)


@attrs.frozen
class Line:
    """A line of text; ``size`` is the height of its font, in points."""

    text: str
    box: Box
    size: float


@attrs.frozen
class TableRows:
    """The texts of a table's cells, row by row."""

    rows: Sequence[Sequence[str]]


@attrs.frozen
class PdfPage:
    """What stands on a page, in reading order."""

    items: Sequence[Line | TableRows]
    has_image: bool
    #: Most of its text is in a font that the file does not contain, and is lost.
    has_lost_text: bool = False


def page_of(page: Any) -> PdfPage:
    """Read ``page``, a page of PDFium."""
    paths: list[Any] = []
    has_image = False
    texts = lost = 0
    for element in page.get_objects(max_depth=_MAX_DEPTH):
        has_image = has_image or element.type == _IMAGE
        if element.type == _PATH and len(paths) < _MAX_PATHS:
            paths.append(element)
        elif element.type == _TEXT:
            left, bottom, right, top = element.get_bounds()
            texts += 1
            lost += left == right and bottom == top
    text = page.get_textpage()
    try:
        lines = list(_lines(text))
        found = grids(paths, page.get_size()) if lines else []
        items = list(_in_place(lines, found, text))
        return PdfPage(items=items, has_image=has_image, has_lost_text=lost >= _MANY and lost > texts / 2)
    finally:
        text.close()


def _lines(text: Any) -> Iterator[Line]:
    start = 0
    for raw in text.get_text_range().split("\r\n"):
        stripped = raw.strip()
        if stripped:
            first = start + len(raw) - len(raw.lstrip())
            left, bottom, _, top = _char_box(text, first)
            _, low, right, high = _char_box(text, first + len(stripped) - 1)
            box = Box(left, min(bottom, low), right, max(top, high))
            yield Line(stripped, box, max(top - bottom, high - low))
        start += len(raw) + 2


def _char_box(text: Any, index: int) -> tuple[float, float, float, float]:
    try:
        box: tuple[float, float, float, float] = text.get_charbox(index, loose=True)
    except _NO_BOX:
        return (
            0.0,
            0.0,
            0.0,
            0.0,
        )  # a character that stands for several: its line is read, its place not known
    return box


def _in_place(lines: Sequence[Line], found: Sequence[Grid], text: Any) -> Iterator[Line | TableRows]:
    """Lines; in the place of the first line within a table, its rows."""
    within = [next((n for n, grid in enumerate(found) if grid.box.holds(line.box)), None) for line in lines]
    tables: dict[int, Sequence[Sequence[str]]] = {}
    for number, grid in enumerate(found):
        rows = [row for row in _rows(grid, text) if any(row)]
        if _are_whole(
            rows, [line for line, within_it in zip(lines, within, strict=True) if within_it == number]
        ):
            tables[number] = rows
    told: set[int] = set()
    for line, place in zip(lines, within, strict=True):
        if place is None or place not in tables:
            yield line
        elif place not in told:
            told.add(place)
            yield TableRows(tables[place])


def _are_whole(rows: Sequence[Sequence[str]], lines: Sequence[Line]) -> bool:
    """Whether the cells have the words of the lines: rulings that cut through words are drawn around something else."""
    words = [word for line in lines for word in line.text.split()]
    kept = {word for row in rows for cell in row for word in cell.split()}
    return bool(words) and sum(word in kept for word in words) >= len(words) * _WHOLE


def _rows(grid: Grid, text: Any) -> Iterator[Sequence[str]]:
    for top, bottom in zip(grid.ys, grid.ys[1:], strict=False):
        yield [
            " ".join(
                text.get_text_bounded(left + _INSET, bottom + _INSET, right - _INSET, top - _INSET).split()
            )
            for left, right in zip(grid.xs, grid.xs[1:], strict=False)
        ]
