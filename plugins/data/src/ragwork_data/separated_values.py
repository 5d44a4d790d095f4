"""CSV and TSV: the dialect as its rows show it, and the first row as names where it looks like names."""

import csv
import io
import itertools
import re
from collections import Counter
from typing import Final

from ragwork_hooks.parsing import Parsed, ParseError, SourceFile
from ragwork_toolkit.parsing.block_list import BlockList, are_names, row_range, too_many

_DELIMITERS: Final = (",", ";", "\t", "|")
#: Rows by which the dialect is told.
_SAMPLE_ROWS: Final = 50
#: The first line by which Excel says the delimiter.
_SAID: Final = re.compile(r"sep=(.)\r?\n")


def read(text: str, source: SourceFile, delimiter: str | None = None) -> Parsed:
    """See ``Parser.parse``. ``delimiter`` is what the file's type says."""
    said = _SAID.match(text)
    if said is not None:
        text, delimiter = text[said.end() :], said[1]
    csv.field_size_limit(source.limits.characters)
    blocks = BlockList(source.limits)
    columns: tuple[str, ...] | None = None
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or _delimiter(text))
    try:
        for number, row in enumerate(rows, 1):
            cells = [cell.strip() for cell in row]
            if columns is None and any(cells):
                columns = tuple(cells) if are_names(cells) else ()
                if columns:
                    continue
            blocks.row(cells, columns or (), cells=row_range(number, max(len(cells), 1)))
    except csv.Error as error:
        if "field limit" in str(error):
            raise too_many("characters of text", source.limits.characters) from None
        raise ParseError("corrupt", f"Line {rows.line_num} can't be read: {error}") from None
    if columns and not blocks.blocks:
        blocks.row(columns)
    return Parsed(blocks=blocks.blocks, encoding=source.encoding)


def _delimiter(text: str) -> str:
    """That which cuts most rows into the same number of cells, and into the more of them."""
    sample = text[:100_000]

    def fitness(delimiter: str) -> tuple[float, int]:
        try:
            read = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
            rows = [row for row in itertools.islice(read, _SAMPLE_ROWS) if row]
        except csv.Error:
            return 0.0, 0
        if not rows:
            return 0.0, 0
        (width, count), *_ = Counter(map(len, rows)).most_common(1)
        return (count / len(rows), width) if width > 1 else (0.0, 0)

    return max(_DELIMITERS, key=fitness)
