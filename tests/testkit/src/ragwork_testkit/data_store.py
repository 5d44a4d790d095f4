"""What every data store must do. Subclass ``DataStoreContract``: name the ``store`` and its ``key``, and say how rows
come to be, what the plugin's own list routes show of them, how they age, and what is stored of them anywhere.

It runs on a whole platform over a real Postgres, by default with the default plugins.
"""

import base64
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import timedelta
from types import MappingProxyType
from typing import Any, ClassVar, Final, TypeAlias

import orjson
import pytest
from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.authz import Everything, Nothing, ReadScope
from ragwork_hooks.errors import Problem
from ragwork_hooks.governance import DataColumn, DataStore, SortOrder, Subject
from ragwork_hooks.storage import Row, Transaction
from ragwork_kernel.base import json_codec

from ragwork_testkit.contract_base import Contract
from ragwork_testkit.platform import DEFAULT_PLUGINS, Running

Key: TypeAlias = tuple[object, ...]
_ALL: Final = Everything()
_MOST: Final = 1000
_AGE: Final = timedelta(days=30)


def _bad(*values: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode()


class DataStoreContract(Contract):
    """The contract of a data store; ``key`` names the columns that tell its rows apart."""

    store: ClassVar[str]
    key: ClassVar[tuple[str, ...]]
    plugins: ClassVar[Sequence[str]] = DEFAULT_PLUGINS
    settings: ClassVar[Mapping[str, str]] = MappingProxyType({})
    app: Running
    data: DataStore

    async def add(self, tenant: str, user: str, count: int) -> None:
        """Make that many more rows or a few more, which are ``user``'s and nobody else's to see."""
        raise NotImplementedError

    async def listed(self, tenant: str, user: str) -> set[Key]:
        """The keys of the rows that the plugin's own list routes show ``user``."""
        raise NotImplementedError

    async def age(self, tx: Transaction, user: str, days: int) -> None:
        """Let the user's rows be that much older."""
        raise NotImplementedError

    async def copies(self, tx: Transaction) -> int:
        """How many pieces the tenant has stored: the rows themselves and all that is derived from them."""
        raise NotImplementedError

    def subject_of(self, row: Row) -> Subject:
        """The smallest subject that an exported row belongs to."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    async def with_platform(
        self, platform: Callable[..., AbstractAsyncContextManager[Running]]
    ) -> AsyncIterator[None]:
        async with platform(plugins=self.plugins, settings=self.settings) as app:
            self.use(app)
            yield

    def use(self, app: Running) -> None:
        """Run against the store of ``app``."""
        self.app = app
        self.data = next(s for s in app.platform.plan.data_stores if s.name == self.store)

    def _tx(self, tenant: str = "t1") -> AbstractAsyncContextManager[Transaction]:
        return self.app.platform.parts.db.tenant(tenant)

    async def _rows(
        self, scope: ReadScope, *, tenant: str = "t1", filter: Mapping[str, str] | None = None
    ) -> Sequence[Row]:
        async with self._tx(tenant) as tx:
            page = await self.data.page(
                tx, scope, filter=filter or {}, sort=self.data.order, cursor=None, limit=_MOST
            )
        assert page.next_cursor is None
        return page.rows

    async def _seen(self, scope: ReadScope, tenant: str = "t1") -> set[Key]:
        rows = await self._rows(scope, tenant=tenant)
        keys = [self._key(row) for row in rows]
        assert len(set(keys)) == len(keys)
        return set(keys)

    async def _scope(self, user: str, tenant: str = "t1") -> ReadScope:
        principal = Principal(
            tenant_id=tenant, user_id=user, credential_id="none", kind="api_key", role=Role.EDITOR
        )
        return await self.data.scope(principal)

    async def _exported(self, subject: Subject, tenant: str = "t1") -> Sequence[Row]:
        async with self._tx(tenant) as tx:
            return [row async for row in self.data.export(tx, subject)]

    async def _until_none(self, step: Callable[[Transaction], Any]) -> int:
        total = 0
        while True:
            async with self._tx() as tx:
                gone = await step(tx)
            if not gone:
                return total
            total += gone

    def _key(self, row: Row) -> Key:
        return tuple(row[name] for name in self.key)

    async def test_columns_say_all_that_a_reader_needs(self) -> None:
        """A reader prints and sorts without knowing the domain: describe each column, give rows exactly those."""
        await self.add("t1", "ann", 1)
        columns = self.data.columns
        names = [column.name for column in columns]
        assert len(set(names)) == len(names)
        assert self.data.about
        assert all(column.about for column in columns)
        assert set(self.key) <= set(names)
        for row in await self._rows(_ALL):
            assert list(row) == names
            assert all(_fits(row[column.name], column) for column in columns)

    async def test_another_tenants_rows_never_appear(self) -> None:
        """Another tenant's rows never appear: name the transaction's tenant in every statement."""
        await self.add("t1", "ann", 2)
        await self.add("t2", "bob", 3)
        for tenant, user in (("t1", "ann"), ("t2", "bob")):
            assert await self._seen(_ALL, tenant) == await self.listed(tenant, user)
        for foreign in (Subject(kind="tenant", id="t2"), Subject(kind="user", id="bob")):
            assert await self._exported(foreign) == []
            async with self._tx() as tx:
                assert await self.data.erase(tx, foreign) == 0
        assert len(await self._seen(_ALL, "t2")) >= 3

    async def test_a_reader_sees_what_the_list_routes_show(self) -> None:
        """A principal's scope shows what the list routes show: put the scope into every statement of a list."""
        await self.add("t1", "ann", 2)
        await self.add("t1", "bob", 3)
        both = await self._seen(_ALL)
        for user in ("ann", "bob"):
            scope = await self._scope(user)
            seen = await self._seen(scope)
            assert seen == await self.listed("t1", user)
            assert seen < both
            async with self._tx() as tx:
                counts = await self.data.facets(tx, scope, {})
            assert all(sum(values.values()) <= len(seen) for values in counts.values())
        assert await self._seen(Nothing()) == set()
        async with self._tx() as tx:
            assert not any((await self.data.facets(tx, Nothing(), {})).values())

    async def test_facets_count_what_a_filter_finds(self) -> None:
        """A facet counts the rows that a filter by it finds: make both of one condition."""
        await self.add("t1", "ann", 2)
        await self.add("t1", "bob", 1)
        async with self._tx() as tx:
            facets = await self.data.facets(tx, _ALL, {})
        assert set(facets) == {column.name for column in self.data.columns if column.facet}
        for name, counts in facets.items():
            for value, count in counts.items():
                rows = await self._rows(_ALL, filter={name: value})
                assert (len(rows), {str(row[name]) for row in rows}) == (count, {value})

    async def test_pages_join_up_while_rows_come(self) -> None:
        """Pages join up to the list, without gaps or doubles, while rows come: begin after the last row's key."""
        await self.add("t1", "ann", 5)
        for column in self.data.columns:
            if not column.sortable:
                continue
            for descending in (False, True):
                sort = SortOrder(column=column.name, descending=descending)
                before = [self._key(row) for row in await self._pages(sort, size=_MOST, come=0)]
                pages = await self._pages(sort, size=2, come=1)
                keys = [self._key(row) for row in pages]
                assert len(set(keys)) == len(keys)
                assert [key for key in keys if key in before] == before
                values = [row[column.name] for row in pages]
                if column.type != "text":  # texts are sorted as the database's language does
                    assert values == sorted(values, reverse=descending)

    async def _pages(self, sort: SortOrder, *, size: int, come: int) -> Sequence[Row]:
        rows: list[Row] = []
        cursor: str | None = None
        while True:
            async with self._tx() as tx:
                page = await self.data.page(tx, _ALL, filter={}, sort=sort, cursor=cursor, limit=size)
            assert len(page.rows) <= size
            rows += page.rows
            cursor = page.next_cursor
            if cursor is None:
                return rows
            if come:
                await self.add("t1", "ann", come)
                come = 0

    async def test_what_a_list_can_not_do_is_said(self) -> None:
        """A wrong column or cursor is a Problem: check both, and name the columns there are."""
        await self.add("t1", "ann", 2)
        names = [column.name for column in self.data.columns if column.sortable]
        async with self._tx() as tx:
            for wrong in ({"nosuch": "x"}, {"id; DROP TABLE x": "x"}):
                with pytest.raises(Problem, match=names[0]) as caught:
                    await self.data.facets(tx, _ALL, wrong)
                assert caught.value.status == 422
        unsortable = [column.name for column in self.data.columns if not column.sortable]
        for name in ("nosuch", "", *unsortable):
            with pytest.raises(Problem, match=names[0]):
                await self._paged(SortOrder(column=name), None)
        for column in self.data.columns:
            if column.type != "text":
                with pytest.raises(Problem, match=column.name):
                    await self._rows(_ALL, filter={column.name: "9" * 30})
            with pytest.raises(Problem):
                await self._rows(_ALL, filter={column.name: "a\x00b"})

    async def test_a_cursor_of_another_list_is_refused(self) -> None:
        """A cursor of another order, or none at all, is INVALID_CURSOR: check all that it says."""
        await self.add("t1", "ann", 2)
        order = self.data.order
        name = f"-{order.column}" if order.descending else order.column
        async with self._tx() as tx:
            first = await self.data.page(tx, _ALL, filter={}, sort=order, cursor=None, limit=1)
        assert first.next_cursor is not None
        other = SortOrder(column=order.column, descending=not order.descending)
        garbage = ("", "x", "%", "bnVsbA", _bad(), _bad(name), _bad(name, *["\x00"] * 9), _bad({}, []))
        for sort, cursor in ((other, first.next_cursor), *((order, text) for text in garbage)):
            with pytest.raises(Problem) as caught:
                await self._paged(sort, cursor)
            assert caught.value.code == "INVALID_CURSOR"

    async def _paged(self, sort: SortOrder, cursor: str | None) -> None:
        async with self._tx() as tx:
            await self.data.page(tx, _ALL, filter={}, sort=sort, cursor=cursor, limit=1)

    async def test_an_export_is_the_subjects_and_nobody_elses(self) -> None:
        """An export has all of its subject and nothing else, as JSON: select by whom it belongs to."""
        await self.add("t1", "ann", 2)
        await self.add("t1", "bob", 3)
        anns, bobs = [await self._seen(await self._scope(user)) for user in ("ann", "bob")]
        of_tenant = await self._exported(Subject(kind="tenant", id="t1"))
        assert _keys(of_tenant, self.key) == sorted(map(str, anns | bobs))
        for user, seen in (("ann", anns), ("bob", bobs)):
            rows = await self._exported(Subject(kind="user", id=user))
            assert _keys(rows, self.key) == sorted(map(str, seen))
            assert all(orjson.loads(json_codec.dumps(row)) for row in rows)
        for row in of_tenant:
            subject = self.subject_of(row)
            own = await self._exported(subject)
            assert str(self._key(row)) in _keys(own, self.key)
            assert {self.subject_of(one) for one in own} == {subject}
        for nobody in ("user", "session", "document", "tenant"):
            assert await self._exported(Subject(kind=nobody, id="nobody")) == []

    async def test_erasing_leaves_no_copy_and_nothing_to_erase(self) -> None:
        """What is erased is gone with every copy, and a second time there is nothing: delete what is derived, too."""
        await self.add("t1", "bob", 2)
        async with self._tx() as tx:
            before = await self.copies(tx)
        bobs = await self._seen(_ALL)
        await self.add("t1", "ann", 3)
        anns = await self._seen(await self._scope("ann"))
        subject = Subject(kind="user", id="ann")
        assert await self._until_none(lambda tx: self.data.erase(tx, subject)) == len(anns)
        async with self._tx() as tx:
            assert await self.data.erase(tx, subject) == 0
            assert await self.copies(tx) == before
        assert await self._seen(_ALL) == bobs
        one = self.subject_of((await self._exported(Subject(kind="tenant", id="t1")))[0])
        assert await self._until_none(lambda tx: self.data.erase(tx, one)) >= 1
        assert await self._exported(one) == []
        await self._until_none(lambda tx: self.data.erase(tx, Subject(kind="tenant", id="t1")))
        async with self._tx() as tx:
            assert await self.copies(tx) == 0

    async def test_an_erasure_that_breaks_off_goes_on(self) -> None:
        """An erasure can be resumed: each step is whole by itself, and one that is rolled back did nothing."""
        await self.add("t1", "ann", 2)
        subject, anns = Subject(kind="user", id="ann"), await self._seen(_ALL)
        with suppress(RuntimeError):
            async with self._tx() as tx:
                assert await self.data.erase(tx, subject) > 0
                raise RuntimeError("broken off")
        assert await self._seen(_ALL) == anns
        assert await self._until_none(lambda tx: self.data.erase(tx, subject)) == len(anns)

    async def test_what_is_young_does_not_expire(self) -> None:
        """What is past its age expires with every copy, what is younger stays: compare by the database's clock."""
        await self.add("t1", "bob", 2)
        async with self._tx() as tx:
            before = await self.copies(tx)
        young = await self._seen(_ALL)
        await self.add("t1", "ann", 2)
        old = await self._seen(await self._scope("ann"))
        assert await self._until_none(lambda tx: self.data.expire(tx, _AGE)) == 0
        async with self._tx() as tx:
            await self.age(tx, "ann", 31)
        assert await self._until_none(lambda tx: self.data.expire(tx, _AGE)) == len(old)
        assert await self._seen(_ALL) == young
        async with self._tx() as tx:
            assert await self.data.expire(tx, _AGE) == 0
            assert await self.copies(tx) == before


def _fits(value: object, column: DataColumn) -> bool:
    if value is None:
        return not column.sortable
    kinds = {"text": "str", "integer": "int", "time": "datetime"}
    return type(value).__name__ == kinds[column.type]


def _keys(rows: Sequence[Row], key: Sequence[str]) -> list[str]:
    return sorted(str(tuple(row[name] for name in key)) for row in rows)
