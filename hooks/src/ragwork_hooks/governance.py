"""What views that join many plugins see: data stores and signals; never tables."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Literal, Protocol, TypeAlias

import attrs

from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import ReadScope
from ragwork_hooks.storage import Row, Transaction

SubjectKind: TypeAlias = Literal["tenant", "user", "session", "document"]


@attrs.frozen(kw_only=True)
class Subject:
    """Whose data."""

    #: What ``id`` names.
    kind: SubjectKind
    #: Of a session it is ``<user>/<session>``: users name their sessions themselves.
    id: str


@attrs.frozen(kw_only=True)
class DataColumn:
    """A column of a list: what a reader needs to print, filter and sort it without knowing what it means."""

    #: As rows have it.
    name: str
    #: A value is a ``str``, an ``int`` or a ``datetime`` with an offset.
    type: Literal["text", "integer", "time"]
    #: What it says, in a few words.
    about: str
    #: Whether a list can be sorted by it; then it is never null.
    sortable: bool = True
    #: Whether ``facets`` counts its values.
    facet: bool = False


@attrs.frozen(kw_only=True)
class SortOrder:
    """How a list is sorted."""

    #: The name of a sortable column.
    column: str
    #: Whether the largest or latest comes first.
    descending: bool = False


@attrs.frozen(kw_only=True)
class DataPage:
    """A part of a list."""

    #: A value or null for each of the store's columns, by name.
    rows: Sequence[Row]
    #: Where the next page begins; ``None`` at the end of the list.
    next_cursor: str | None


class DataStore(Protocol):
    """One plugin's data of one kind. All happens in the caller's transaction, and within its tenant.

    Whoever lists says for whom: ``scope(principal)``, or ``Everything()`` for an operator of the platform. A
    ``filter`` maps names of columns to the values that rows must have, written as texts (times by ISO 8601). A column
    that is unknown, or not sortable, is ``Problem`` 422 naming those there are.
    """

    #: Unique among all stores.
    name: str
    #: What the rows are, in a sentence.
    about: str

    @property
    def columns(self) -> tuple[DataColumn, ...]:
        """In the order in which a list shows them."""

    #: How a list is sorted unless somebody asks for another order.
    order: SortOrder

    async def scope(self, principal: Principal) -> ReadScope:
        """The rows that ``principal`` may list: what the plugin's own routes show."""

    async def page(
        self,
        tx: Transaction,
        scope: ReadScope,
        *,
        filter: Mapping[str, str],
        sort: SortOrder,
        cursor: str | None,
        limit: int,
    ) -> DataPage:
        """At most ``limit`` rows, from the beginning or after the row at which a page's ``next_cursor`` stands.
        One round trip. Rows that come meanwhile shift no page. Raises ``Problem`` 400 INVALID_CURSOR for one of
        another order.
        """

    async def facets(
        self, tx: Transaction, scope: ReadScope, filter: Mapping[str, str]
    ) -> Mapping[str, Mapping[str, int]]:
        """Facet column → its commonest values with how many rows have each, the most first. One round trip."""

    def export(self, tx: Transaction, subject: Subject) -> AsyncIterator[Row]:
        """All that the store has of ``subject`` and of nobody else, contents included, as objects of JSON (times
        may be ``datetime``). Nothing of a kind of subject that the store does not know.
        """

    async def erase(self, tx: Transaction, subject: Subject) -> int:
        """Erase a bounded number of the subject's rows with everything derived from them; how many rows went.
        Repeat it, each time in a transaction of its own, until it gives 0: so it can be resumed at any time.
        """

    async def expire(self, tx: Transaction, older_than: timedelta) -> int:
        """Erase rows that were created longer ago than that by the database's clock, in steps like ``erase``."""


class Signal(Protocol):
    """A live number, by window: what ``/v1/ops/slo`` shows, and what an alert would watch."""

    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str:
        """What is counted: ``percent``, ``milliseconds``."""

    async def value(self, tenant_id: str | None, window: timedelta) -> float | None:
        """Of one tenant, or of all together. ``None`` when nothing was measured, or not so."""
