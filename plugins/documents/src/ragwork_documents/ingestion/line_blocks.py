"""Where a text's lists and fenced code are, so that a piece ends before an item or a line of them."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

import attrs
from ragwork_toolkit.parsing.markdown_reader import ITEM

_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
#: What announces a block: a heading, or a line that ends with a colon in some script.
_ANNOUNCES: Final = re.compile(r"#{1,6}[ \t]|.*[:\uff1a][*_]*[ \t\r]*$")


#: How many lines above a block are looked at for those.
_ABOVE: Final = 6


@attrs.frozen
class LineBlock:
    """Offsets: ``announced`` where the heading or line that announces it begins, ``breaks`` where its items or lines
    begin, ``end`` after the last of them.
    """

    announced: int
    breaks: Sequence[int]
    end: int

    def break_before(self, position: int) -> int:
        """Where the item or line begins that ``position`` stands in; the first one's for what is before."""
        return self.breaks[max(0, bisect_right(self.breaks, position) - 1)]


class LineBlocks:
    """The lists (of two items or more) and fenced blocks of one text, asked by position."""

    def __init__(self, text: str) -> None:
        self._blocks = list(_find([*_lines(text)], len(text)))
        self._starts = [block.announced for block in self._blocks]

    def around(self, position: int) -> LineBlock | None:
        """The block that a cut before ``position`` would divide, or part from what announces it."""
        index = bisect_right(self._starts, position) - 1
        if index < 0:
            return None
        block = self._blocks[index]
        return block if block.announced < position < block.end else None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    offset = 0
    for line in text.split("\n"):
        yield offset, line
        offset += len(line) + 1


def _find(lines: Sequence[tuple[int, str]], length: int) -> Iterator[LineBlock]:
    at = before = 0
    while at < len(lines):
        after = _fenced(lines, at)
        breaks = [offset for offset, _ in lines[at:after]]
        if not after and ITEM.match(lines[at][1]):
            after = _listed(lines, at)
            breaks = [offset for offset, line in lines[at:after] if ITEM.match(line)]
        if len(breaks) > 1:
            end = lines[after][0] if after < len(lines) else length
            yield LineBlock(lines[_announced(lines, at, before)][0], breaks, end)
            before = after
        at = after or at + 1


def _announced(lines: Sequence[tuple[int, str]], at: int, lowest: int) -> int:
    """The line that the announcement of the block at line ``at`` begins with; ``at`` itself without one."""
    found = at
    for above in range(at - 1, max(lowest, at - _ABOVE) - 1, -1):
        line = lines[above][1]
        if line.strip():
            if not _ANNOUNCES.match(line):
                break
            found = above
    return found


def _fenced(lines: Sequence[tuple[int, str]], at: int) -> int:
    """The line after the fenced block that begins at line ``at``; 0 where none does. An open one ends the text."""
    mark = _FENCE.match(lines[at][1])
    if mark is None:
        return 0
    for after in range(at + 1, len(lines)):
        closing = _FENCE.match(lines[after][1])
        if closing and closing[1].startswith(mark[1]):
            return after + 1
    return len(lines)


def _listed(lines: Sequence[tuple[int, str]], at: int) -> int:
    """The line after the list that begins at line ``at``: items, lines further in, and a blank one before such."""
    after = at + 1
    while after < len(lines):
        line = lines[after][1]
        blank = not line.strip()
        following = lines[after + 1][1] if blank and after + 1 < len(lines) else line
        if not ITEM.match(following) and not (following.strip() and following[0] in " \t"):
            break
        after += 1
    return after
