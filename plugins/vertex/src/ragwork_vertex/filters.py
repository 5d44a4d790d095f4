"""A query's filter as a filter expression of Discovery Engine."""

import json
import math
import re
from collections.abc import Mapping

from ragwork_toolkit.vendor.retrieval import NothingMatches
from ragwork_toolkit.vendor.sendable_text import sendable_text

_FIELD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_\-]*(\.[A-Za-z0-9_][A-Za-z0-9_\-]*)*")


def expression(filter: Mapping[str, object], keys: Mapping[str, str]) -> str:
    """All of ``filter``, its keys translated by ``keys``; ``""`` for an empty filter.

    Raises ``NothingMatches`` for an empty list, for null, and for a key that no field can have.
    """
    terms = [_term(keys.get(key, key), value) for key, value in filter.items()]
    return " AND ".join(f"({term})" for term in terms)


def _term(field: str, value: object) -> str:
    if not _FIELD.fullmatch(field):
        raise NothingMatches
    values = value if isinstance(value, list) else [value]
    # A boolean field is compared by its text.
    texts = [_literal(each) for each in values if isinstance(each, str | bool)]
    numbers = [each for each in values if isinstance(each, int | float) and not isinstance(each, bool)]
    terms = [f"{field}: ANY({', '.join(texts)})"] if texts else []
    terms += [f"{field} = {each}" for each in numbers if math.isfinite(each)]
    if not terms:
        raise NothingMatches
    return " OR ".join(terms)


def _literal(value: str | bool) -> str:
    """In double quotes, with a backslash before each quote and backslash."""
    if isinstance(value, bool):
        return '"true"' if value else '"false"'
    return json.dumps(sendable_text(value), ensure_ascii=False)
