"""Checks that the sections of ``provider_config_json`` share. Each raises ``Problem`` 422 naming the path."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Final

from ragwork_documents.ingestion.input_checks import invalid

ROOT: Final = ("body", "provider_config_json")


def json_object(value: object, path: list[str | int]) -> Mapping[str, object]:
    """``value`` if it is an object."""
    if not isinstance(value, dict):
        raise invalid(path, "must be an object")
    return value


def known_keys(value: Mapping[str, object], known: Sequence[str], path: list[str | int]) -> None:
    """Refuse a key that is not ``known``, with its nearest match."""
    for key in value:
        if key not in known:
            raise invalid([*path, key], f"is not known{_nearest(key, known)}", "extra_forbidden")


def one_of(value: object, known: Sequence[str], path: list[str | int]) -> str:
    """``value`` if it is one of ``known``."""
    if not isinstance(value, str) or value not in known:
        there = ", ".join(known) or "none is installed"
        raise invalid(path, f"{value!r} is not one of {there}{_nearest(value, known)}", "literal_error")
    return value


def _nearest(value: object, known: Sequence[str]) -> str:
    match = difflib.get_close_matches(str(value), known, n=1)
    return f"; did you mean {match[0]!r}?" if match else ""
