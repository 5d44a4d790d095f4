"""PPTX: slide by slide the title, the texts, tables, titles of charts, and the speaker's notes."""

from collections.abc import Iterator
from typing import Any, Final

from ragwork_hooks.parsing import Parsed, SourceFile
from ragwork_toolkit.parsing.block_list import BlockList, are_names, too_many

from ragwork_office.package import OfficePackage, attribute, child, local, relationship

_TITLES: Final = frozenset({"title", "ctrTitle"})
#: What every slide repeats.
_REPEATED: Final = frozenset({"dt", "ftr", "sldNum", "hdr"})


def read(source: SourceFile) -> Parsed:
    """See ``Parser.parse``."""
    package = OfficePackage(source)
    name = package.document
    related = package.related(name)
    listed = child(package.xml(name), "sldIdLst")
    slides = [related.get(relationship(each), ("", ""))[1] for each in (listed if listed is not None else ())]
    if len(slides) > source.limits.pages:
        raise too_many("slides", source.limits.pages)
    blocks = BlockList(source.limits)
    for number, slide in enumerate(slides, 1):
        if package.has(slide):
            _slide(package, slide, blocks, number)
    return Parsed(blocks=blocks.blocks, **package.said())


def _slide(package: OfficePackage, name: str, blocks: BlockList, number: int) -> None:
    blocks.leave(1)
    tree = child(package.xml(name), "cSld", "spTree")
    shapes = list(_shapes(tree)) if tree is not None else []
    titles = [shape for shape in shapes if _placeholder(shape) in _TITLES]
    for title in titles:
        blocks.heading(1, " ".join(" ".join(_paragraphs(title)).split()), slide=number)
    charts = {key: part for key, (kind, part) in package.related(name).items() if kind == "chart"}
    for shape in shapes:
        if shape in titles or _placeholder(shape) in _REPEATED:
            continue
        if local(shape) == "graphicFrame":
            _graphic(package, shape, charts, blocks, number)
        else:
            _text(shape, blocks, number)
    for notes in package.of_kind(name, "notesSlide"):
        _notes(package, notes, blocks, number)


def _shapes(tree: Any) -> Iterator[Any]:
    """Shapes and graphics, those in groups, too."""
    for element in tree:
        if local(element) == "grpSp":
            yield from _shapes(element)
        elif local(element) in ("sp", "graphicFrame"):
            yield element


def _placeholder(shape: Any) -> str:
    """What the shape is for: ``title``, ``body``, ``sldNum``; nothing for any other."""
    if local(shape) != "sp":
        return ""
    found = child(shape, "nvSpPr", "nvPr", "ph")
    return (attribute(found, "type") or "body") if found is not None else ""


def _text(shape: Any, blocks: BlockList, number: int) -> None:
    """A placeholder's paragraphs are the slide's points."""
    paragraphs = list(_paragraphs(shape))
    if _placeholder(shape) and len(paragraphs) > 1:
        blocks.add("list", "\n".join(paragraphs), slide=number)
    else:
        for paragraph in paragraphs:
            blocks.add("paragraph", paragraph, slide=number)


def _paragraphs(shape: Any) -> Iterator[str]:
    body = child(shape, "txBody")
    for paragraph in body if body is not None else ():
        if local(paragraph) == "p":
            text = " ".join(text_of(paragraph).split())
            if text:
                properties = child(paragraph, "pPr")
                level = int(properties.get("lvl", "0")) if properties is not None else 0
                yield "  " * min(level, 8) + text


def text_of(element: Any) -> str:
    """The text in ``element``; a line's end is a blank."""
    return "".join(
        " " if local(each) == "br" else each.text or ""
        for each in element.iter()
        if local(each) in ("t", "br")
    )


def _graphic(
    package: OfficePackage, frame: Any, charts: dict[str, str], blocks: BlockList, number: int
) -> None:
    data = child(frame, "graphic", "graphicData")
    for element in data if data is not None else ():
        if local(element) == "tbl":
            _table(element, blocks, number)
        elif local(element) == "chart" and package.has(charts.get(relationship(element), "")):
            chart = package.xml(charts[relationship(element)])
            title = child(chart, "chart", "title")
            if title is not None:
                blocks.add("paragraph", " ".join(text_of(title).split()), slide=number)


def _table(table: Any, blocks: BlockList, number: int) -> None:
    rows = [
        tuple(" ".join(text_of(cell).split()) for cell in row if local(cell) == "tc")
        for row in table
        if local(row) == "tr"
    ]
    columns = rows[0] if len(rows) > 1 and are_names(rows[0]) else ()
    for row in rows[1:] if columns else rows:
        blocks.row(row, columns, slide=number)


def _notes(package: OfficePackage, name: str, blocks: BlockList, number: int) -> None:
    tree = child(package.xml(name), "cSld", "spTree")
    for shape in _shapes(tree) if tree is not None else ():
        if _placeholder(shape) == "body":
            blocks.add("paragraph", "\n".join(_paragraphs(shape)), slide=number)
