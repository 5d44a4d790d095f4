"""Elements of a page to blocks. Takes HTML's own elements, and those by which trafilatura says the same."""

import re
from collections.abc import Iterator
from typing import Any, Final

from ragwork_hooks.parsing import ParseLimits
from ragwork_toolkit.parsing.block_list import BlockList, too_many

#: What trafilatura calls it → what HTML calls it.
_NAMES: Final = {"list": "ul", "item": "li", "row": "tr", "cell": "td", "quote": "blockquote", "lb": "br"}
_SILENT: Final = frozenset(
    {
        "script", "style", "noscript", "template", "svg", "math", "iframe", "object", "canvas", "audio", "video",
        "select", "datalist", "button", "input", "textarea",
    }
)  # fmt: skip
_BLOCKS: Final = frozenset(
    {
        "html", "body", "main", "article", "section", "div", "p", "blockquote", "header", "footer", "aside", "figure",
        "figcaption", "address", "details", "summary", "fieldset", "form", "hr", "center", "dd", "dt", "li", "tr", "td",
        "th", "tbody", "thead", "tfoot", "caption",
    }
)  # fmt: skip
_LISTS: Final = frozenset({"ul", "ol", "dl", "menu"})
_HEADING: Final = re.compile(r"h([1-6])")


class ContentWalker:
    """Fills ``blocks``."""

    def __init__(self, blocks: BlockList, limits: ParseLimits) -> None:
        self._blocks = blocks
        self._limits = limits
        self._inline: list[str] = []

    def read(self, element: Any) -> None:
        """All that is in ``element``, in order. Raises ``ParseError``."""
        self._walk(element, 0)
        self._paragraph()

    def _walk(self, element: Any, depth: int) -> None:
        if depth > self._limits.nesting:
            raise too_many("elements in each other", self._limits.nesting)
        name = _name(element)
        if name in _SILENT or not name:
            return
        if level := _level(element, name):
            self._paragraph()
            self._blocks.heading(level, _line(text_of(element)))
        elif name in _LISTS:
            self._paragraph()
            self._blocks.add("list", "\n".join(_items(element, 0)))
        elif name == "table" and _is_data(element):
            self._paragraph()
            self._table(element)
        elif name == "pre" or (name == "code" and "\n" in text_of(element).strip()):
            self._paragraph()
            self._blocks.add("code", text_of(element).strip("\n").rstrip())
        elif name == "br":
            self._inline.append("\n")
        else:
            self._children(element, depth, is_block=name in _BLOCKS or name == "table")

    def _children(self, element: Any, depth: int, *, is_block: bool) -> None:
        if is_block:
            self._paragraph()
        self._inline.append(element.text or "")
        for child in element:
            self._walk(child, depth + 1)
            self._inline.append(child.tail or "")
        if is_block:
            self._paragraph()

    def _paragraph(self) -> None:
        lines = (_line(line) for line in "".join(self._inline).split("\n"))
        # A line's end in the file is a blank; one that was meant came as an element, and stands alone.
        self._blocks.add("paragraph", _line(" ".join(lines)))
        self._inline.clear()

    def _table(self, table: Any) -> None:
        rows = [(cells, is_head) for cells, is_head in map(_cells, _rows(table)) if any(cells)]
        columns = rows[0][0] if len(rows) > 1 and rows[0][1] else ()
        for cells, _ in rows[1:] if columns else rows:
            self._blocks.row(cells, columns)


def text_of(element: Any) -> str:
    """All text in ``element`` that is shown."""
    return "".join(_shown(element))


def _shown(element: Any) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        name = _name(child)
        if name and name not in _SILENT:
            if name in _BLOCKS or name == "br":
                yield "\n"
            yield from _shown(child)
            if name in _BLOCKS:
                yield "\n"
        yield child.tail or ""


def _name(element: Any) -> str:
    """Its name in HTML; nothing for what is no element."""
    name = element.tag
    if not isinstance(name, str):
        return ""
    name = name.rpartition("}")[2].lower()
    return _NAMES.get(name, name)


def _level(element: Any, name: str) -> int:
    found = _HEADING.fullmatch(element.get("rend", "") if name == "head" else name)
    return int(found[1]) if found else 0


def _line(text: str) -> str:
    return " ".join(text.split())


def _items(element: Any, depth: int) -> Iterator[str]:
    """One line for each item; those of a list in a list are indented."""
    for item in element:
        if not _name(item) or _name(item) in _SILENT:
            continue
        inner = [child for child in item if _name(child) in _LISTS]
        for child in inner:
            item.remove(child)
        text = _line(text_of(item))
        if text:
            yield "  " * depth + text
        for child in inner:
            yield from _items(child, depth + 1)


def _is_data(table: Any) -> bool:
    """Whether it is a table, and not a layout: it has columns, and no table in it."""
    if any(each is not table and _name(each) == "table" for each in table.iter()):
        return False
    return any(len(row) > 1 for row in _rows(table))


def _rows(table: Any) -> Iterator[Any]:
    return (each for each in table.iter() if _name(each) == "tr")


def _cells(row: Any) -> tuple[tuple[str, ...], bool]:
    """The texts of a row, and whether all of them are headers. A cell over several columns stands in the first."""
    cells: list[str] = []
    heads = []
    for cell in row:
        if _name(cell) not in ("td", "th"):
            continue
        heads.append(_name(cell) == "th" or cell.get("role") == "head" or _name(row.getparent()) == "thead")
        cells.append(_line(text_of(cell)))
        span = cell.get("colspan", "")
        cells += [""] * (min(int(span), 100) - 1 if span.isdecimal() else 0)
    return tuple(cells), bool(heads) and all(heads)
