"""DOCX: paragraphs, headings by their styles, lists, tables and notes, in the order of the document."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
from ragwork_hooks.parsing import Parsed, ParseLimits, SourceFile
from ragwork_toolkit.parsing.block_list import BlockList, are_names, too_many

from ragwork_office.package import OfficePackage, attribute, child, local

_HEADING: Final = re.compile(r"heading ?([1-9])|(title)", re.IGNORECASE)
#: What is not text of the document as it stands: deletions, instructions of fields, text of drawings' fallbacks.
_SKIPPED: Final = frozenset({"del", "moveFrom", "instrText", "delText", "Fallback", "rPr", "pPr", "sdtPr"})
_NOTES: Final = (("footnotes", "footnote"), ("endnotes", "endnote"))
_MARKERS: Final = frozenset({"separator", "continuationSeparator", "continuationNotice"})


@attrs.frozen
class _Style:
    level: int | None
    is_list: bool


def read(source: SourceFile) -> Parsed:
    """See ``Parser.parse``."""
    package = OfficePackage(source)
    name = package.document
    reader = _DocumentReader(package, name, source.limits)
    body = child(package.xml(name), "body")
    if body is not None:
        reader.read(body, 0)
    reader.finish()
    for part, element in _NOTES:
        reader.notes(part, element)
    return Parsed(blocks=reader.blocks.blocks, **package.said())


class _DocumentReader:
    def __init__(self, package: OfficePackage, name: str, limits: ParseLimits) -> None:
        self.blocks = BlockList(limits)
        self._package = package
        self._name = name
        self._nesting = limits.nesting
        self._styles = _styles(package, name)
        self._items: list[str] = []

    def read(self, parent: Any, depth: int) -> None:
        """The blocks in ``parent``. Raises ``ParseError``."""
        if depth > self._nesting:
            raise too_many("elements in each other", self._nesting)
        for element in parent:
            kind = local(element)
            if kind == "p":
                self._paragraph(element)
            elif kind == "tbl":
                self.finish()
                self._table(element)
            elif kind not in _SKIPPED and kind != "sectPr":
                self.read(element, depth + 1)

    def finish(self) -> None:
        """The list that was collected ends."""
        self.blocks.add("list", "\n".join(self._items))
        self._items.clear()

    def notes(self, part: str, element: str) -> None:
        """Footnotes or endnotes, behind the text."""
        for name in self._package.of_kind(self._name, part):
            self.blocks.leave(1)
            for note in self._package.xml(name):
                if local(note) == element and attribute(note, "type") not in _MARKERS:
                    self.blocks.add("paragraph", " ".join(text_of(note).split()))

    def _paragraph(self, paragraph: Any) -> None:
        text = text_of(paragraph).strip()
        properties = child(paragraph, "pPr")
        style = self._style(properties)
        if style.level is not None and text:
            self.finish()
            self.blocks.heading(style.level, " ".join(text.split()))
        elif style.is_list or child(properties if properties is not None else (), "numPr") is not None:
            indent = child(properties, "numPr", "ilvl") if properties is not None else None
            level = int(attribute(indent, "val") or 0) if indent is not None else 0
            if text:
                self._items.append("  " * min(level, 8) + " ".join(text.split()))
        elif text:
            self.finish()
            self.blocks.add("paragraph", text)

    def _style(self, properties: Any) -> _Style:
        named = child(properties, "pStyle") if properties is not None else None
        found = self._styles.get(attribute(named, "val") or "") if named is not None else None
        outline = child(properties, "outlineLvl") if properties is not None else None
        if outline is not None and (attribute(outline, "val") or "9") < "9":
            return _Style(int(attribute(outline, "val") or 0) + 1, False)
        return found or _Style(None, False)

    def _table(self, table: Any) -> None:
        rows = [(cells, is_head) for cells, is_head in map(_cells, _rows(table)) if any(cells)]
        if rows and all(len(cells) == 1 for cells, _ in rows):
            for cells, _ in rows:  # a frame around a text
                self.blocks.add("paragraph", cells[0])
            return
        columns: tuple[str, ...] = ()
        if len(rows) > 1 and (rows[0][1] or are_names(rows[0][0])):
            columns = rows[0][0]
            rows = rows[1:]
        for cells, _ in rows:
            self.blocks.row(cells, columns)


def text_of(element: Any) -> str:
    """All text in ``element``, as it stands after all changes."""
    return "".join(_texts(element))


def _texts(element: Any) -> Iterator[str]:
    for each in element:
        kind = local(each)
        if kind == "t":
            yield each.text or ""
        elif kind == "tab":
            yield "\t"
        elif kind in ("br", "cr"):
            yield "\n"
        elif kind == "noBreakHyphen":
            yield "-"
        elif kind not in _SKIPPED:
            yield from _texts(each)
            if kind == "p":
                yield "\n"


def _rows(table: Any) -> Iterator[Any]:
    for element in table:
        if local(element) == "tr":
            yield element
        elif local(element) in ("sdt", "sdtContent", "ins", "customXml"):
            yield from _rows(element)


def _cells(row: Any) -> tuple[tuple[str, ...], bool]:
    """The texts of a row, and whether it is marked as a header. A cell over several columns stands in the first."""
    cells: list[str] = []
    for element in row:
        cell = child(element, "sdtContent", "tc") if local(element) == "sdt" else element
        if cell is None or local(cell) != "tc":
            continue
        cells.append(" ".join(text_of(cell).split()))
        span = child(cell, "tcPr", "gridSpan")
        cells += [""] * (min(int(attribute(span, "val") or 1), 100) - 1 if span is not None else 0)
    return tuple(cells), child(row, "trPr", "tblHeader") is not None


def _styles(package: OfficePackage, name: str) -> Mapping[str, _Style]:
    """Style id → what it means. Names of Word's own styles are English in every language of Word."""
    found: dict[str, _Style] = {}
    bases: dict[str, str] = {}
    for part in package.of_kind(name, "styles"):
        for style in package.xml(part):
            if local(style) != "style" or attribute(style, "type") != "paragraph":
                continue
            identity = attribute(style, "styleId") or ""
            found[identity] = _meaning(style)
            base = child(style, "basedOn")
            bases[identity] = (attribute(base, "val") or "") if base is not None else ""
    return {identity: _inherited(identity, found, bases) for identity in found}


def _meaning(style: Any) -> _Style:
    named = child(style, "name")
    name = (attribute(named, "val") or "") if named is not None else ""
    outline = child(style, "pPr", "outlineLvl")
    heading = _HEADING.fullmatch(name)
    if heading is not None:
        return _Style(int(heading[1] or 1), False)
    if outline is not None and (attribute(outline, "val") or "9") < "9":
        return _Style(int(attribute(outline, "val") or 0) + 1, False)
    return _Style(None, child(style, "pPr", "numPr") is not None)


def _inherited(identity: str, found: Mapping[str, _Style], bases: Mapping[str, str]) -> _Style:
    seen = set()
    while identity in found and identity not in seen:
        seen.add(identity)
        if found[identity].level is not None or found[identity].is_list:
            return found[identity]
        identity = bases[identity]
    return _Style(None, False)
