"""Where commands talk to their user: people on a terminal, or a program that asked for JSON."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tqdm import tqdm

from ragwork_kernel import codec


class TerminalConsole:
    """Implements ``ragwork_hooks.plugin.Console``. With JSON, standard output holds the result alone."""

    def __init__(self, json: bool) -> None:
        self._json = json

    @property
    def json(self) -> bool:
        return self._json

    def say(self, text: str) -> None:
        stream = sys.stderr if self._json else sys.stdout
        stream.write(text + "\n")
        stream.flush()

    def result(self, data: object, text: str) -> None:
        if self._json:
            text = codec.dumps(data, indent=True).decode()
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    @asynccontextmanager
    async def progress(self, total: int, label: str, unit: str) -> AsyncIterator[Callable[[int], None]]:
        with tqdm(total=total, desc=label, unit=unit, file=sys.stderr, dynamic_ncols=True) as bar:

            def advance(more: int) -> None:
                bar.update(more)

            yield advance
