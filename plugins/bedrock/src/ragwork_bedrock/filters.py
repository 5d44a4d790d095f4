"""A query's filter as Bedrock's filter expression."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from ragwork_toolkit.vendor.retrieval import NothingMatches

if TYPE_CHECKING:
    from types_boto3_bedrock_agent_runtime.type_defs import RetrievalFilterTypeDef


def expression(filter: Mapping[str, object], keys: Mapping[str, str]) -> "RetrievalFilterTypeDef | None":
    """All of ``filter``, its keys translated by ``keys``; ``None`` for an empty filter.

    Raises ``NothingMatches`` for an empty list, and for null: metadata there is never null.
    """
    terms = [_term(keys.get(key, key), value) for key, value in filter.items()]
    # The service wants at least two parts in a conjunction.
    found = terms[0] if len(terms) == 1 else {"andAll": terms}
    return cast("RetrievalFilterTypeDef", found) if terms else None


def _term(key: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, list):
        return _equals(key, value)
    if not value:
        raise NothingMatches
    if len(value) == 1:
        return _equals(key, value[0])
    if any(isinstance(each, bool) for each in value):
        # ``in`` takes texts and numbers only.
        return {"orAll": [_equals(key, each) for each in value]}
    return {"in": {"key": key, "value": _without_null(value)}}


def _equals(key: str, value: object) -> Mapping[str, object]:
    if value is None:
        raise NothingMatches
    return {"equals": {"key": key, "value": value}}


def _without_null(values: Sequence[object]) -> list[object]:
    found = [value for value in values if value is not None]
    if not found:
        raise NothingMatches
    return found
