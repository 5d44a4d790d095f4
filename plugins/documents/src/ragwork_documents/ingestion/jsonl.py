"""Reading JSON Lines for ``ragwork ingest``: checked whole before anything is sent."""

import codecs
import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import orjson
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import FieldError

from ragwork_documents.ingestion.submission import Batch, Submission
from ragwork_documents.ingestion.submission_requests import from_text
from ragwork_documents.schemas import TextIngestRequest

_KEYS: Final = ("document_id", "text", "filename", "metadata")
MAX_BATCH: Final = 32
MAX_BATCH_CHARS: Final = 262_144


class BadLine(Exception):
    """A line that can't be ingested. The text names file and line."""

    def __init__(self, path: Path, line: int, message: str) -> None:
        super().__init__(f"{path}:{line}: {message}")


def files(source: Path) -> Sequence[Path]:
    """``source`` itself, or the ``*.jsonl`` files anywhere below it. Raises ``FileNotFoundError``."""
    if source.is_file():
        return [source]
    found = sorted(source.rglob("*.jsonl"))
    if not found:
        reason = "holds no .jsonl file" if source.is_dir() else "does not exist"
        raise FileNotFoundError(f"{source} {reason}")
    return found


def count(paths: Sequence[Path], corpus_id: str) -> int:
    """How many documents ``paths`` hold. Raises ``BadLine`` for the first that can't be ingested."""
    seen: dict[str, str] = {}
    for path in paths:
        for number, submission in _read(path, corpus_id):
            where = f"{path}:{number}"
            other = seen.setdefault(submission.document_id, where)
            if other is not where:
                raise BadLine(path, number, f"document {submission.document_id!r} stands in {other} too")
    return len(seen)


def batches(paths: Sequence[Path], corpus_id: str) -> Iterator[Batch]:
    """The documents of ``paths`` in order, a bounded amount of text at a time."""
    batch, chars = Batch(), 0
    for path in paths:
        for _, submission in _read(path, corpus_id):
            more = len(submission.source)
            if batch.submissions and (len(batch.submissions) == MAX_BATCH or chars + more > MAX_BATCH_CHARS):
                yield batch
                batch, chars = Batch(), 0
            batch.submissions.append(submission)
            chars += more
    yield batch


def _read(path: Path, corpus_id: str) -> Iterator[tuple[int, Submission]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                try:
                    yield number, _submission(line, corpus_id)
                except _Unusable as error:
                    raise BadLine(path, number, str(error)) from None


class _Unusable(Exception):
    pass


def _submission(line: bytes, corpus_id: str) -> Submission:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _Unusable(f"not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise _Unusable("must be an object")
    for key in value:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(_KEYS)}"
            raise _Unusable(f"unknown key {key!r}{hint}")
    try:
        return from_text(_request(value, corpus_id))
    except FieldError as error:
        raise _Unusable(f"{error.field} {error}") from None
    except Problem as problem:
        raise _Unusable(_first(problem)) from None


def _request(value: dict[str, object], corpus_id: str) -> TextIngestRequest:
    document_id, text = value.get("document_id"), value.get("text")
    filename, metadata = value.get("filename"), value.get("metadata")
    if not isinstance(document_id, str):
        raise _Unusable("document_id must be a text")
    if not isinstance(text, str):
        raise _Unusable("text must be a text")
    if filename is not None and not isinstance(filename, str):
        raise _Unusable("filename must be a text")
    if metadata is not None and not isinstance(metadata, dict):
        raise _Unusable("metadata must be an object")
    return TextIngestRequest(
        corpus_id=corpus_id, document_id=document_id, text=text, filename=filename, metadata_json=metadata
    )


def _first(problem: Problem) -> str:
    errors = problem.details.get("errors")
    if isinstance(errors, list) and errors:
        path = ".".join(str(part) for part in errors[0]["loc"][1:])
        return f"{path} {errors[0]['msg']}"
    return problem.message
