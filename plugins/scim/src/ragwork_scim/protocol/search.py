"""A question for a list, checked."""

from collections.abc import Mapping
from typing import Any, Final

import attrs

from ragwork_scim.protocol.error_format import payload_invalid, query_invalid
from ragwork_scim.protocol.projection import AttributeSelection
from ragwork_scim.protocol.queries import ResourceListQuery

_LAST_INDEX: Final = 2**31 - 1


@attrs.frozen(kw_only=True)
class ResourceSearch:
    """A checked question for a list. ``start`` counts from 1."""

    filter: str | None
    sort_by: str | None
    descending: bool
    start: int
    count: int
    wanted: AttributeSelection

    @classmethod
    def of(cls, query: ResourceListQuery, default_count: int, max_count: int) -> "ResourceSearch":
        """Raises ``Problem`` 400."""
        direction = (query.sortOrder or "ascending").lower()
        if direction not in ("ascending", "descending"):
            raise query_invalid("invalidValue", "sortOrder is ascending or descending")
        count = default_count if query.count is None else query.count
        return cls(
            filter=query.filter,
            sort_by=query.sortBy,
            descending=direction == "descending",
            start=min(max(1, query.startIndex), _LAST_INDEX),
            count=min(max(0, count), max_count),
            wanted=AttributeSelection.of(query),
        )


def list_query(body: Mapping[str, Any]) -> ResourceListQuery:
    """The question that the body of a ``.search`` is. Raises ``Problem`` 422."""
    names = {field.name.lower(): field.name for field in attrs.fields(ResourceListQuery)}
    values: dict[str, Any] = {}
    for key, value in body.items():
        name = names.get(key.lower())
        if name is None and key.lower() != "schemas":
            raise payload_invalid("invalidSyntax", f"{key[:100]!r} is no part of a search")
        if name is not None and value is not None:
            values[name] = _member(name, value)
    try:
        return ResourceListQuery(**values)
    except ValueError as error:
        raise payload_invalid("invalidSyntax", str(error)) from None


def _member(name: str, value: object) -> object:
    if name in ("startIndex", "count"):
        good = type(value) is int
    elif name in ("attributes", "excludedAttributes"):
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return ",".join(value)
        good = False
    else:
        good = isinstance(value, str)
    if not good:
        raise payload_invalid("invalidSyntax", f"{name} has the wrong type")
    return value
