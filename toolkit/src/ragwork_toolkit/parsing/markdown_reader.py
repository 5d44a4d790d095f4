"""Markdown to blocks, by lines: it is not rendered, so that what is quoted is what was written.

Users: parsing, data.
"""

import re
from collections.abc import Sequence
from typing import Final

from ragwork_hooks.parsing import BlockKind

from ragwork_toolkit.parsing.block_list import BlockList

_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING: Final = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE: Final = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_RULE: Final = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
#: How an item of a list begins, in plain text, too.
ITEM: Final = re.compile(r"[ \t]*(?:[-*+\u2022]|\d{1,9}[.)])[ \t]+\S")
_CELL_END: Final = re.compile(r"(?<!\\)\|")
_TITLE: Final = re.compile(r"title:[ \t]*(.+)")


class MarkdownReader:
    """Lines, read once from top to bottom."""

    def __init__(self, lines: Sequence[str], blocks: BlockList) -> None:
        self._lines = lines
        self._blocks = blocks
        self._at = 0
        self._title: str | None = None

    def read(self) -> str | None:
        """Fill the blocks. The title: that of the metadata at the top, else the first heading of the first level."""
        self._metadata()
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if not line.strip():
                self._at += 1
            elif not (self._fence(line) or self._heading(line) or self._table(line)):
                self._plain(line)
        return self._title

    def _metadata(self) -> None:
        if self._lines[0].rstrip() != "---":
            return
        end = next((at for at, line in enumerate(self._lines) if at and line.rstrip() in ("---", "...")), 0)
        for line in self._lines[1:end]:
            if found := _TITLE.match(line):
                self._title = found[1].strip().strip("\"'")
        if end:
            self._take(end + 1, "paragraph")

    def _fence(self, line: str) -> bool:
        mark = _FENCE.match(line)
        if mark is None:
            return False
        closing = re.compile(rf" {{0,3}}{re.escape(mark[1])}{mark[1][0]}*[ \t]*$")
        rest = range(self._at + 1, len(self._lines))
        end = next((at for at in rest if closing.match(self._lines[at])), len(self._lines) - 1)
        self._take(end + 1, "code")
        return True

    def _heading(self, line: str) -> bool:
        mark = _HEADING.match(line)
        if mark is not None:
            self._say(len(mark[1]), mark[2], 1)
            return True
        after = self._after()
        under = _UNDERLINE.match(after)
        if under is None or ITEM.match(line) or "|" in line or line.startswith(("    ", "\t")):
            return False
        self._say(1 if under[1][0] == "=" else 2, line.strip(), 2)
        return True

    def _say(self, level: int, text: str, lines: int) -> None:
        raw = "\n".join(self._lines[self._at : self._at + lines])
        self._blocks.heading(level, text, raw=raw)
        if level == 1 and self._title is None:
            self._title = text
        self._at += lines

    def _table(self, line: str) -> bool:
        if "|" not in line or "|" not in self._after() or not _RULE.match(self._after()):
            return False
        columns, start = _cells(line), self._at
        self._at += 2
        first = self._at
        while self._at < len(self._lines) and "|" in self._lines[self._at]:
            row = self._lines[self._at]
            self._blocks.row(_cells(row), columns, raw=row.strip())
            self._at += 1
        if self._at == first:
            self._at = start
            self._take(first, "table_row")
        return True

    def _plain(self, line: str) -> None:
        """Up to the next blank line, or what begins another block."""
        is_list, is_code = ITEM.match(line) is not None, line.startswith(("    ", "\t"))
        end = self._at + 1
        while end < len(self._lines) and self._goes_on(end, is_list):
            end += 1
        self._take(end, "list" if is_list else "code" if is_code else "paragraph")

    def _goes_on(self, at: int, is_list: bool) -> bool:
        line = self._lines[at]
        if not line.strip():
            # Items of one list may have blank lines between them.
            following = self._lines[at + 1] if at + 1 < len(self._lines) else ""
            return is_list and (ITEM.match(following) is not None or following.startswith(("  ", "\t")))
        if _FENCE.match(line) and not (is_list and line.startswith("  ")):
            return False
        return not _HEADING.match(line) and (is_list or not ITEM.match(line))

    def _after(self) -> str:
        return self._lines[self._at + 1] if self._at + 1 < len(self._lines) else ""

    def _take(self, end: int, kind: BlockKind) -> None:
        self._blocks.add(kind, "\n".join(self._lines[self._at : end]).rstrip())
        self._at = end


def _cells(line: str) -> tuple[str, ...]:
    inner = line.strip().removeprefix("|")
    if inner.endswith("|") and not inner.endswith("\\|"):
        inner = inner[:-1]
    return tuple(cell.strip() for cell in _CELL_END.split(inner))
