"""The query strings of SCIM routes."""

import attrs
from ragwork_hooks.fields import text


@attrs.frozen(kw_only=True)
class Projection:
    """Which attributes an answer has: names separated by commas."""

    #: Attributes to give, with commas between.
    attributes: str | None = text(default=None, max_length=8_000)
    #: Attributes to leave out, with commas between.
    excludedAttributes: str | None = text(default=None, max_length=8_000)


@attrs.frozen(kw_only=True)
class DiscoveryQuery:
    """Discovery is not filtered; the parameter is known to be refused."""

    #: Refused with 403.
    filter: str | None = text(default=None, max_length=8_000)


@attrs.frozen(kw_only=True)
class ResourceListQuery(Projection):
    """A question for a list; numbers out of range are taken as the nearest in it (RFC 7644 §3.4.2.4)."""

    #: A filter of RFC 7644 §3.4.2.2. Example: "userName eq \"ada@example.com\""
    filter: str | None = text(default=None, max_length=8_000)
    #: The attribute to sort by.
    sortBy: str | None = text(default=None, max_length=500)
    #: `ascending` or `descending`.
    sortOrder: str | None = text(default=None, max_length=20)
    #: The first entry, from 1.
    startIndex: int = 1
    #: How many entries at most.
    count: int | None = None
