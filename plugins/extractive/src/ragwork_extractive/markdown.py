"""Markdown taken apart into blocks, with offsets, so that a quote can stay verbatim.

Only as much Markdown as documentation uses: headings, lists, fences, tables, quotes, paragraphs.
Every line is looked at once, and no pattern can backtrack over more than one line.
"""

import re
from collections.abc import Iterator
from typing import Literal, TypeAlias

import attrs

Kind: TypeAlias = Literal["heading", "text", "item", "code", "header", "row"]

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*)")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
_ITEM = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?")
_QUOTE = re.compile(r"[ \t]*(?:>[ \t]?)+")
_RULE = frozenset("-*_= \t")
# Nothing is given back once taken, so a line is looked at once.
_DIVIDER = re.compile(r"[ \t]*+\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)*+\|?[ \t]*+\Z")


@attrs.frozen
class Block:
    """Lines that belong together: ``text[start:end]``, without list marker or quote sign in front.

    ``level`` is a heading's depth, else 0; ``headed`` says that a row stands under the header before it.
    """

    kind: Kind
    start: int
    end: int
    level: int = 0
    headed: bool = False


def blocks(text: str) -> Iterator[Block]:
    """The blocks of ``text`` in order. Blank lines, rules, fences and table dividers yield nothing."""
    reader = _Reader(text)
    position = 0
    for line in text.splitlines(keepends=True):
        yield from reader.line(line.rstrip(), position)
        position += len(line)
    yield from reader.flush()


class _Reader:
    """The state between lines: an open paragraph or item, an open table, and an open fence."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._open: Block | None = None
        self._fence = ""
        self._last = 0  # where the open block's last line begins
        self._in_table = False

    def flush(self) -> Iterator[Block]:
        if self._open is not None:
            yield self._open
            self._open = None

    def line(self, line: str, at: int) -> Iterator[Block]:
        fence = _FENCE.match(line)
        if fence:
            self._in_table = False
        if fence and (not self._fence or fence[1].startswith(self._fence)):
            yield from self.flush()
            self._fence = "" if self._fence else fence[1]
        elif self._fence:
            if line.strip():
                yield Block("code", at + len(line) - len(line.lstrip()), at + len(line))
        else:
            yield from self._prose(line, at)

    def _prose(self, line: str, at: int) -> Iterator[Block]:
        end = at + len(line)
        if "|" in line and _DIVIDER.match(line) and self._is_header():
            yield from self._header()
        elif self._in_table and "|" in line and line.strip():
            yield Block("row", at + len(line) - len(line.lstrip()), end, headed=True)
        else:
            self._in_table = False
            yield from self._loose(line, at, end)

    def _loose(self, line: str, at: int, end: int) -> Iterator[Block]:
        if not line.strip() or (len(line.strip()) > 2 and _RULE.issuperset(line)):
            yield from self.flush()
        elif heading := _HEADING.match(line):
            yield from self.flush()
            yield Block("heading", at + heading.start(2), end, len(heading[1]))
        elif line.lstrip().startswith("|"):
            yield from self.flush()
            if not _DIVIDER.match(line):
                self._begin("row", at + len(line) - len(line.lstrip()), end)
        elif item := _ITEM.match(line):
            yield from self.flush()
            self._begin("item", at + item.end(), end)
        else:
            yield from self._continue(line, at)

    def _begin(self, kind: Kind, start: int, end: int) -> None:
        self._open = Block(kind, start, end)
        self._last = start

    def _is_header(self) -> bool:
        return self._open is not None and "|" in self._text[self._last : self._open.end]

    def _header(self) -> Iterator[Block]:
        """The line above a table's divider is its header, be it all of the open block or its last line."""
        if self._open is not None:
            before = self._text[self._open.start : self._last].rstrip()
            header = attrs.evolve(self._open, kind="header", start=self._last)
            if before and self._open.kind != "row":
                yield attrs.evolve(self._open, end=self._open.start + len(before))
            yield header
        self._open, self._in_table = None, True

    def _continue(self, line: str, at: int) -> Iterator[Block]:
        quote = _QUOTE.match(line)
        begin = at + (quote.end() if quote else len(line) - len(line.lstrip()))
        if self._open is None or self._open.kind == "row":
            yield from self.flush()
            self._begin("text", begin, at + len(line))
        else:
            self._open = attrs.evolve(self._open, end=at + len(line))
            self._last = begin
