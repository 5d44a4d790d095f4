"""A parsed file as one text, and where in the file each part of it stands."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs
from ragwork_hooks.parsing import Parsed, TextBlock

#: Markdown knows six levels of headings.
_LEVELS: Final = 6
_BACKTICKS: Final = re.compile("`+")


def text_key(blob_key: str) -> str:
    """Where the text of the file in ``blob_key`` is kept."""
    return f"{blob_key}.text"


@attrs.frozen(kw_only=True)
class FileRegion:
    """Characters ``start`` to ``end`` of the text are of this block."""

    start: int
    end: int
    block: TextBlock


@attrs.frozen(kw_only=True)
class FileText:
    """The text that is cut, embedded and quoted: Markdown with the file's headings, lists and tables."""

    text: str
    regions: Sequence[FileRegion]

    def place(self, start: int, end: int) -> Mapping[str, object]:
        """Where characters ``start`` to ``end`` stand in the file, as the metadata of a passage: ``page`` or ``pages``
        (first and last), ``slide``, ``sheet``, ``cells`` (from the first row to the last) and ``headings``.
        """
        blocks = [r.block for r in self.regions if r.start < end and r.end > start]
        if not blocks:
            return {}
        first, last = blocks[0], blocks[-1]
        place: dict[str, object] = {}
        if first.page is not None and last.page is not None:
            place |= {"page": first.page} if first.page == last.page else {"pages": [first.page, last.page]}
        if first.slide is not None:
            place["slide"] = first.slide
        if first.sheet is not None:
            place["sheet"] = first.sheet
        if headings := (*first.headings, *([first.text] if first.kind == "heading" else [])):
            place["headings"] = list(headings)
        if cells := [block.cells for block in blocks if block.cells and block.sheet == first.sheet]:
            place["cells"] = _range(cells[0], cells[-1])
        return place


def rendered(parsed: Parsed) -> FileText:
    """The text of ``parsed``. Rows of one table stand under its column names, which no region claims."""
    pieces: list[str] = []
    regions: list[FileRegion] = []
    length = 0
    before: TextBlock | None = None
    for block in parsed.blocks:
        for piece, own in _pieces(block, before):
            if own:
                regions.append(FileRegion(start=length, end=length + len(piece), block=block))
            pieces.append(piece)
            length += len(piece)
        before = block
    return FileText(text="".join(pieces), regions=regions)


def _pieces(block: TextBlock, before: TextBlock | None) -> Iterator[tuple[str, bool]]:
    """What the block adds to the text, and whether it is the block's own."""
    if block.kind == "table_row":
        if before is None or not _same_table(before, block):
            yield ("" if before is None else "\n\n"), False
            if block.columns:
                yield (
                    f"{_row(' | '.join(block.columns))}\n{_row(' | '.join('---' for _ in block.columns))}\n",
                    False,
                )
        else:
            yield "\n", False
        yield _row(block.text), True
        return
    yield ("" if before is None else "\n\n"), False
    match block.kind:
        case "heading":
            yield f"{'#' * min(len(block.headings) + 1, _LEVELS)} {_line(block.text)}", True
        case "list":
            yield "\n".join(f"- {line}" for line in block.text.splitlines()), True
        case "code":
            fence = _fence(block.text)
            yield f"{fence}\n{block.text}\n{fence}", True
        case _:
            yield block.text, True


def _same_table(a: TextBlock, b: TextBlock) -> bool:
    return a.kind == "table_row" and (a.columns, a.sheet, a.headings) == (b.columns, b.sheet, b.headings)


def _row(text: str) -> str:
    return f"| {_line(text)} |"


def _fence(code: str) -> str:
    """Longer than any run of backticks in ``code``, which would end it."""
    return "`" * max(3, 1 + max(map(len, _BACKTICKS.findall(code)), default=0))


def _line(text: str) -> str:
    return " ".join(text.split())


def _range(first: str, last: str) -> str:
    """``A2:D2`` and ``A9:D9`` are ``A2:D9``."""
    return f"{first.partition(':')[0]}:{last.rpartition(':')[2]}"
