"""Lists of a table for ``DataStore``: pages by keyset, counts of values, and the whole in batches.

Users: agent, documents.
"""

import base64
import binascii
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar, Final, TypeAlias

import attrs
import orjson
from ragwork_hooks.authz import Everything, IdIn, Nothing, OwnedBy, ReadScope
from ragwork_hooks.errors import Problem
from ragwork_hooks.governance import DataColumn, DataPage, SortOrder, Subject
from ragwork_hooks.storage import Row, Transaction

from ragwork_toolkit.scope_sql import Parameters

#: Values of one column that ``facets`` counts.
MOST_VALUES: Final = 20
#: Rows that are read at once, or erased in one step.
BATCH: Final = 100
_SQL_TYPES: Final[Mapping[str, str]] = {"text": "text", "integer": "bigint", "time": "timestamptz"}
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)
Value: TypeAlias = str | int | datetime


@attrs.frozen(kw_only=True)
class DataTable:
    """Rows of ``source``: what stands after FROM, with the alias ``d``, a ``tenant_id`` and the columns by their names.

    ``key`` names columns that together are unique. ``within`` makes a condition over ``d`` of a scope; it is in every
    statement, so that no list is made without one.
    """

    source: str
    columns: tuple[DataColumn, ...]
    key: tuple[str, ...]
    within: Callable[[ReadScope, Parameters], str]

    def where(self, scope: ReadScope, parameters: Parameters) -> str:
        """The condition of the tenant's rows within ``scope``."""
        return f"d.tenant_id = ragwork.tenant() AND {self.within(scope, parameters)}"

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
        """See ``DataStore.page``."""
        order, p = self._sorted(sort), Parameters()
        where = f"{self.where(scope, p)}{self._filtered(filter, p)}"
        if cursor is not None:
            where += f" AND {self._after(cursor, sort, p)}"
        rows = await tx.fetch(
            f"""SELECT {", ".join(f"d.{column.name}" for column in self.columns)} FROM {self.source}
            WHERE {where} ORDER BY {order} LIMIT {p.bind(limit + 1, "bigint")}""",  # noqa: S608  # names of columns and placeholders
            *p.values,
        )
        cursor = self._cursor(rows[limit - 1], sort) if len(rows) > limit else None
        return DataPage(rows=[dict(row) for row in rows[:limit]], next_cursor=cursor)

    async def facets(
        self, tx: Transaction, scope: ReadScope, filter: Mapping[str, str]
    ) -> Mapping[str, Mapping[str, int]]:
        """See ``DataStore.facets``."""
        names = [column.name for column in self.columns if column.facet]
        if not names:
            return {}
        values, p = ", ".join(f"('{name}', d.{name}::text)" for name in names), Parameters()
        rows = await tx.fetch(
            f"""SELECT name, value, count FROM (
                SELECT f.name, f.value, count(*) AS count,
                    row_number() OVER (PARTITION BY f.name ORDER BY count(*) DESC, f.value) AS rank
                FROM {self.source}
                CROSS JOIN LATERAL (VALUES {values}) AS f (name, value)
                WHERE {self.where(scope, p)}{self._filtered(filter, p)} AND f.value IS NOT NULL
                GROUP BY f.name, f.value
            ) AS counted WHERE rank <= {MOST_VALUES} ORDER BY rank""",  # noqa: S608  # the same
            *p.values,
        )
        return {name: {row["value"]: row["count"] for row in rows if row["name"] == name} for name in names}

    async def batches(self, tx: Transaction, scope: ReadScope, select: str) -> AsyncIterator[Sequence[Row]]:
        """All rows within ``scope`` in the order of the key, some at a time; ``select`` has the key's columns."""
        last: Row | None = None
        while True:
            p = Parameters()
            where = self.where(scope, p)
            if last is not None:
                where += f" AND {self._beyond(last, p)}"
            rows = await tx.fetch(
                f"SELECT {select} FROM {self.source} WHERE {where} ORDER BY {self._keys()} LIMIT {BATCH}",  # noqa: S608
                *p.values,
            )
            if rows:
                yield rows
            if len(rows) < BATCH:
                return
            last = rows[-1]

    def _keys(self) -> str:
        return ", ".join(f"d.{name}" for name in self.key)

    def _beyond(self, values: Mapping[str, Value], p: Parameters) -> str:
        """What follows the row of that key in the order of keys."""
        bound = ", ".join(self._bind(name, values[name], p) for name in self.key)
        return f"({self._keys()}) > ({bound})"

    def _bind(self, name: str, value: Value, p: Parameters) -> str:
        return p.bind(value, _SQL_TYPES[self._column(name).type])

    def _column(self, name: str) -> DataColumn:
        return next(column for column in self.columns if column.name == name)

    # --- what is asked for ------------------------------------------------------------------------

    def _sorted(self, sort: SortOrder) -> str:
        """What stands after ORDER BY. Rows that are equal in the column follow each other by their key."""
        sortable = [column.name for column in self.columns if column.sortable]
        if sort.column not in sortable:
            raise _unknown("sorted", sort.column, sortable)
        return f"d.{sort.column} {'DESC' if sort.descending else 'ASC'}, {self._keys()}"

    def _filtered(self, filter: Mapping[str, str], p: Parameters) -> str:
        names = [column.name for column in self.columns]
        condition = ""
        for name, text in filter.items():
            if name not in names:
                raise _unknown("filtered", name, names)
            kind = self._column(name).type
            value = _parsed(text, kind)
            if value is None:
                raise _refused(
                    f"{text!r} is no value of the column {name!r}, which has {_WRITTEN[kind]}", name
                )
            condition += f" AND d.{name} = {self._bind(name, value, p)}"
        return condition

    # --- cursors: the order, and where the last row of a page stands in it ----------------------------

    def _cursor(self, row: Row, sort: SortOrder) -> str:
        values = [row[name] for name in (sort.column, *self.key)]
        return base64.urlsafe_b64encode(orjson.dumps([_written(sort), *values])).rstrip(b"=").decode()

    def _after(self, cursor: str, sort: SortOrder, p: Parameters) -> str:
        """What follows the row at which ``cursor`` stands."""
        names = (sort.column, *self.key)
        order, *texts = _decoded(cursor)
        if order != _written(sort):
            raise _bad_cursor(f"this cursor is not of a list sorted by {_written(sort)}")
        if len(texts) != len(names):
            raise _bad_cursor("this cursor is of no list of this kind")
        values: dict[str, Value] = {}
        for name, text in zip(names, texts, strict=True):
            value = _parsed(str(text), self._column(name).type)
            if value is None:
                raise _bad_cursor("this cursor is of no list of this kind")
            values[name] = value
        column, at = f"d.{sort.column}", self._bind(sort.column, values[sort.column], p)
        past = "<" if sort.descending else ">"
        # The first condition is implied; it is the one that an index can begin at.
        return f"{column} {past}= {at} AND ({column} {past} {at} OR {self._beyond(values, p)})"


class TableStore:
    """What a ``DataStore`` over one ``table`` has of it: its columns, pages and facets."""

    table: ClassVar[DataTable]

    @property
    def columns(self) -> tuple[DataColumn, ...]:
        """See ``DataStore``."""
        return self.table.columns

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
        """See ``DataStore``."""
        return await self.table.page(tx, scope, filter=filter, sort=sort, cursor=cursor, limit=limit)

    async def facets(
        self, tx: Transaction, scope: ReadScope, filter: Mapping[str, str]
    ) -> Mapping[str, Mapping[str, int]]:
        """See ``DataStore``."""
        return await self.table.facets(tx, scope, filter)


def scope_of(subject: Subject, tx: Transaction, kind: str) -> ReadScope:
    """The rows of ``subject`` in a table whose ids are those of ``kind``; none of a kind that it does not know."""
    match subject.kind:
        case "tenant":
            return Everything() if subject.id == tx.tenant_id else Nothing()
        case "user":
            return OwnedBy(subject.id)
        case known if known == kind:
            return IdIn(frozenset({subject.id}))
    return Nothing()


_WRITTEN: Final[Mapping[str, str]] = {
    "text": "text without NUL characters",
    "integer": "whole numbers",
    "time": "times such as 2030-01-31T12:00:00+00:00",
}


def _parsed(text: str, kind: str) -> Value | None:
    """``text`` as Postgres takes it, ``None`` for what is no value of ``kind``."""
    try:
        if kind == "time":
            at = datetime.fromisoformat(text)
            return None if at.tzinfo is None else at.astimezone(UTC)
        if kind == "integer":
            return int(text) if _INTEGER.fullmatch(text) else None
        text.encode()
    except (ValueError, OverflowError):
        return None
    return None if "\x00" in text else text


def _written(sort: SortOrder) -> str:
    return f"-{sort.column}" if sort.descending else sort.column


def _decoded(cursor: str) -> list[object]:
    try:
        values = orjson.loads(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        )
    except (binascii.Error, ValueError):
        values = None
    if not isinstance(values, list) or not values:
        raise _bad_cursor("this is no cursor of a list")
    return values


def _bad_cursor(message: str) -> Problem:
    return Problem("INVALID_CURSOR", f"{message}; leave it out to begin at the first page")


def _unknown(done: str, name: str, known: Sequence[str]) -> Problem:
    return _refused(f"a list can't be {done} by {name!r}, only by {', '.join(known)}", name)


def _refused(message: str, column: str) -> Problem:
    return Problem("REQUEST_VALIDATION_ERROR", message, details={"column": column})
