"""Where a text's pipe tables are, so that pieces of one can begin at a row and repeat its header."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

import attrs

# A line with a bar, then one of dashes. Nothing is given back once taken, so each line is looked at once.
_TABLE: Final = re.compile(
    r"^(?=[^\n]*\|)[^\n]*+\n[ \t]*+\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)*+\|?[ \t\r]*+(?:\n|\Z)",
    re.MULTILINE,
)
_ROW: Final = re.compile(r"[^\n]*\|[^\n]*(?:\n|\Z)")


@attrs.frozen
class Table:
    """Offsets: ``start`` of the header line, ``body`` of the first row, ``end`` after the last one."""

    start: int
    body: int
    end: int


class Tables:
    """The tables of one text, asked by position."""

    def __init__(self, text: str) -> None:
        self._tables = _find(text) if "|" in text else []
        self._starts = [table.start for table in self._tables]

    def around(self, position: int) -> Table | None:
        """The table that a cut before ``position`` would divide."""
        index = bisect_right(self._starts, position) - 1
        if index < 0:
            return None
        table = self._tables[index]
        return table if table.start < position < table.end else None


def _find(text: str) -> Sequence[Table]:
    found: list[Table] = []
    position = 0
    while match := _TABLE.search(text, position):
        position = match.end()
        if "|" not in text[text.index("\n", match.start()) : match.end()]:
            continue
        end = position
        while (row := _ROW.match(text, end)) and row.group().strip():
            end = row.end()
        found.append(Table(match.start(), position, end))
        position = end
    return found
