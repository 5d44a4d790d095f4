"""What clients say about documents, made safe to store: data, never paths or markup."""

import math
import unicodedata
from collections.abc import Mapping
from typing import Final

import orjson
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import MAX_JSON

MAX_FILENAME: Final = 255
MAX_METADATA_VALUES: Final = 2_000
MAX_METADATA_DEPTH: Final = 16
MAX_LABELS: Final = 64


def clean_filename(name: str) -> str:
    """``name`` without control, format and bidirectional characters. Raises ``Problem`` 422 if too long."""
    if len(name) > MAX_FILENAME:
        raise invalid(["body", "filename"], f"has {len(name)} characters, at most {MAX_FILENAME} are taken")
    return printable(name)


def printable(text: str) -> str:
    """``text`` without control, format and bidirectional characters: it can't steer a terminal."""
    return "".join(c for c in text if unicodedata.category(c)[0] != "C").strip()


def check_metadata(metadata: Mapping[str, object]) -> Mapping[str, str]:
    """The labels in ``metadata`` (its ``labels`` object), after all of it was found storable.

    Raises ``Problem`` 422 naming the path of what is too deep, too large or not representable.
    """
    # The bound and the words of a route's free JSON: what a command reads is taken like what a client sends.
    if (size := _encoded_bytes(metadata)) > MAX_JSON:
        said = f"has {size} bytes as JSON, at most {MAX_JSON} are taken"
        raise invalid(["body", "metadata_json"], said, kind="json_too_large")
    check_storable(metadata, ["body", "metadata_json"])
    labels = metadata.get("labels", {})
    path: list[str | int] = ["body", "metadata_json", "labels"]
    if not isinstance(labels, dict) or len(labels) > MAX_LABELS:
        raise invalid(path, f"must be an object of at most {MAX_LABELS} texts")
    for key, value in labels.items():
        if not isinstance(value, str):
            raise invalid([*path, key], "must be a text")
    return labels


def _encoded_bytes(value: object) -> int:
    try:
        return len(orjson.dumps(value))
    except TypeError:  # nested too deep to be encoded, which ``check_storable`` has words for
        return 0


def check_storable(value: object, path: list[str | int]) -> None:
    """Raise ``Problem`` 422 unless ``value``, found at ``path``, is JSON of bounded size and depth."""
    _Walk().visit(value, path)


class _Walk:
    """Counts while it descends, so that no shape of JSON is free."""

    def __init__(self) -> None:
        self._values = 0

    def visit(self, value: object, path: list[str | int]) -> None:
        self._values += 1
        if self._values > MAX_METADATA_VALUES:
            raise invalid(path[:2], f"holds more than {MAX_METADATA_VALUES} values")
        if len(path) > MAX_METADATA_DEPTH + 2:
            raise invalid(path[:2], f"is nested deeper than {MAX_METADATA_DEPTH}")
        if isinstance(value, str):
            self._text(value, path)
        elif isinstance(value, float) and not math.isfinite(value):
            raise invalid(path, "must be a finite number")
        elif isinstance(value, Mapping):
            for key, inner in value.items():
                self._text(key, path)
                self.visit(inner, [*path, key])
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                self.visit(inner, [*path, index])

    def _text(self, value: str, path: list[str | int]) -> None:
        if "\x00" in value:
            raise invalid(path, "must not contain NUL characters")
        if not value.isprintable() and any("\ud800" <= c <= "\udfff" for c in value):
            raise invalid(path, "must not contain lone surrogates")


def invalid(path: list[str | int], message: str, kind: str = "value_error") -> Problem:
    """422 with the contract's error list, for what a field's own bounds can't say."""
    return Problem(
        "REQUEST_VALIDATION_ERROR",
        "Validation error",
        details={"errors": [{"type": kind, "loc": path, "msg": message}]},
    )
