"""The blocks of a file, collected in reading order, below their headings and within its limits.

Users: parsing, html, data, office, pdf, mail.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from ragwork_hooks.parsing import BlockKind, ParseError, ParseLimits, TextBlock

_NUMBER: Final = re.compile(r"[-+]?[\d.,'\s]*\d[\d.,'\s]*%?")


class BlockList:
    """``place`` of its methods is where a block stands: ``page``, ``slide``, ``sheet``, ``cells``."""

    def __init__(self, limits: ParseLimits) -> None:
        self.blocks: list[TextBlock] = []
        self._limits = limits
        self._headings: dict[int, str] = {}
        self._path: tuple[str, ...] = ()
        self._characters = 0
        self._rows = 0

    def heading(self, level: int, text: str, *, raw: str | None = None, **place: Any) -> None:
        """A heading, and the one above what follows; 1 is the outermost level. ``raw`` is how the file writes it."""
        self.leave(level)
        self.add("heading", raw or text, **place)
        if text.strip():
            self._headings[level] = text.strip()
        self._path = tuple(said for _, said in sorted(self._headings.items()))

    def leave(self, level: int) -> None:
        """What follows stands below no heading of ``level``, or of those within it."""
        self._headings = {above: said for above, said in self._headings.items() if above < level}
        self._path = tuple(said for _, said in sorted(self._headings.items()))

    def add(self, kind: BlockKind, text: str, *, columns: tuple[str, ...] = (), **place: Any) -> None:
        """A block with ``text``, if there is something in it. Raises ``ParseError``."""
        if not text.strip():
            return
        self._characters += len(text)
        if self._characters > self._limits.characters:
            raise too_many("characters of text", self._limits.characters)
        self.blocks.append(TextBlock(kind=kind, text=text, headings=self._path, columns=columns, **place))

    def row(
        self, values: Sequence[str], columns: tuple[str, ...] = (), *, raw: str | None = None, **place: Any
    ) -> None:
        """A table's row. ``raw`` is how the file writes it. Raises ``ParseError``."""
        self._rows += 1
        if self._rows > self._limits.rows:
            raise too_many("rows of tables", self._limits.rows)
        if len(values) > self._limits.columns:
            raise too_many("columns in a table", self._limits.columns)
        if any(values):
            text = raw or " | ".join(" ".join(value.split()) for value in values)
            self.add("table_row", text, columns=columns, **place)


def too_many(what: str, most: int) -> ParseError:
    """The file has more of something than a file may have."""
    return ParseError(
        "resource_limit", f"The file has more than {most:,} {what}: split it into several files"
    )


def are_names(cells: Sequence[str]) -> bool:
    """Whether a table's first row names its columns: each has a name, no two the same, and no name is a number."""
    is_named = bool(cells) and all(cells) and len(set(cells)) == len(cells)
    return is_named and not any(_NUMBER.fullmatch(cell) for cell in cells)


def row_range(row: int, last: int, first: int = 1) -> str:
    """The cells of a spreadsheet's row from column ``first`` to ``last``, all counted from 1: ``A2:D2``."""
    return f"{_letters(first)}{row}:{_letters(last)}{row}"


def _letters(column: int) -> str:
    letters = ""
    while column:
        column, letter = divmod(column - 1, 26)
        letters = chr(65 + letter) + letters
    return letters
