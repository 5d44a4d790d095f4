"""Hears what is written to standard output while a kit's test runs: nothing may be."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO

from ragwork_testkit.promises import BrokenPromise


@contextmanager
def listening() -> Iterator[None]:
    """Raises ``BrokenPromise`` when something was written, by Python or below it."""
    said = StringIO()
    with tempfile.TemporaryFile() as below:
        with _diverted(below.fileno()), redirect_stdout(said):
            yield
        below.seek(0)
        written = said.getvalue() or below.read().decode(errors="replace")
    if written:
        raise BrokenPromise(
            "nothing is printed: programs read what the server's commands write to standard output",
            "log it with `logging.getLogger(__name__)`",
            repr(written),
        )


@contextmanager
def _diverted(target: int) -> Iterator[None]:
    """The process' descriptor 1 leads to ``target``."""
    with suppress(ValueError, OSError):
        sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(target, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
