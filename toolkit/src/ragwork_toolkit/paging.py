"""Pages of a list, by how many entries to give and how many to skip.

Users: abac, agent, agents, apikeys, audit, directory, documents, scim, selfserve, sso.
"""

from collections.abc import Sequence
from typing import TypeVar

import attrs
from ragwork_hooks.fields import number
from ragwork_hooks.http import Page

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class PageQuery:
    """A window of a list. A list with other bounds declares the field anew in a subclass."""

    #: How many entries at most.
    limit: int = number(default=50, ge=1, le=200)
    #: How many entries to skip.
    offset: int = number(default=0, ge=0, le=1_000_000)

    @property
    def window(self) -> slice:
        """Cuts the window out of a list that is held whole: ``entries[query.window]``."""
        return slice(self.offset, self.offset + self.limit)


def page_of(rows: Sequence[T], query: PageQuery) -> Page[T]:
    """The page of ``rows``, which begin at the query's offset and are ``limit + 1`` if there are that many: the one
    too many says that a page follows.
    """
    more = len(rows) > query.limit
    return Page(items=list(rows[: query.limit]), next_offset=query.offset + query.limit if more else None)
