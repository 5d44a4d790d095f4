"""The query strings of SCIM routes."""

import attrs
from ragwork_hooks.fields import text


@attrs.frozen(kw_only=True)
class Projection:
    """Which attributes an answer has: names separated by commas."""

    attributes: str | None = text(default=None, max_length=8_000)
    excludedAttributes: str | None = text(default=None, max_length=8_000)


@attrs.frozen(kw_only=True)
class DiscoveryQuery:
    """Discovery is not filtered; the parameter is known to be refused."""

    filter: str | None = text(default=None, max_length=8_000)


@attrs.frozen(kw_only=True)
class ListQuery(Projection):
    """A question for a list; numbers out of range are taken as the nearest in it (RFC 7644 §3.4.2.4)."""

    filter: str | None = text(default=None, max_length=8_000)
    sortBy: str | None = text(default=None, max_length=500)
    sortOrder: str | None = text(default=None, max_length=20)
    startIndex: int = 1
    count: int | None = None
