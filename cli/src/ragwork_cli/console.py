"""Where commands talk to their user: people on a terminal, or a program that asked for JSON."""

import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

from ragwork_kernel.base import json_codec
from tqdm import tqdm


class TextStream(Protocol):
    """Where texts are written to."""

    def write(self, text: str, /) -> int: ...
    def flush(self) -> None: ...


class TerminalConsole:
    """Implements ``ragwork_hooks.commands.Console``. With JSON, standard output holds the result alone."""

    def __init__(self, json: bool, out: TextStream | None = None, err: TextStream | None = None) -> None:
        self._json = json
        self._out = out
        self._err = err

    @property
    def _data(self) -> TextStream:
        return self._out or sys.stdout

    @property
    def _talk(self) -> TextStream:
        return self._err or sys.stderr

    @property
    def json(self) -> bool:
        return self._json

    def say(self, text: str) -> None:
        stream = self._talk if self._json else self._data
        stream.write(text + "\n")
        stream.flush()

    def write(self, piece: str) -> None:
        if not self._json:
            self._data.write(piece)
            self._data.flush()

    def result(self, data: object, text: str) -> None:
        if self._json:
            text = json_codec.dumps(data, indent=True).decode()
        self._data.write(text + "\n")
        self._data.flush()

    def table(self, rows: Sequence[Mapping[str, object]], columns: Sequence[str], empty: str) -> None:
        cells = [[_cell(row[column]) for column in columns] for row in rows]
        heads = [column.replace("_", " ").upper() for column in columns]
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
            for line in (heads, *cells)
        ]
        self.result(rows, "\n".join(lines) if rows else empty)

    @asynccontextmanager
    async def progress(self, total: int, label: str, unit: str) -> AsyncIterator[Callable[[int], None]]:
        with tqdm(total=total, desc=label, unit=unit, file=self._talk, dynamic_ncols=True) as bar:

            def advance(more: int) -> None:
                bar.update(more)

            yield advance


def _cell(value: object) -> str:
    """A value for people: times to the minute in UTC, nothing as a dash, texts in one line."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}Z"
    return " ".join(str(value).split())
