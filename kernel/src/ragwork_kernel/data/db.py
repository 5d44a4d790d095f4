"""Pools and tenant-bound transactions: the only way from a plugin to SQL.

BEGIN and the tenant travel with a transaction's first statement, so a change is its statements and COMMIT. A read has
no BEGIN at all: each of its statements takes the tenant along and is a transaction of its own, which sees what READ
COMMITTED shows it in any case. Row level security does the rest; without a tenant no row exists.

Who waits for a second connection with one in hand (a cache that loads within a transaction) could wait for others
who do the same, for ever. So one connection more than the pool has places is for them alone.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from types import TracebackType
from typing import Any

import asyncpg
import attrs
import orjson
from asyncpg.pool import PoolConnectionProxy
from ragwork_hooks.errors import busy
from ragwork_hooks.plugin import RegisterCodecs
from ragwork_hooks.storage import Mode, Row

from ragwork_kernel.base.error_answers import CONNECTION_FAILED, DATABASE_AWAY, database_unavailable
from ragwork_kernel.base.shares import KernelShare, KernelShares, SharesFactory
from ragwork_kernel.data.tenant_connection import TenantConnection, begin_ahead, behind, read_ahead

# The one place where a tenant id becomes SQL text; nothing that could end the quote passes.
TENANT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}")

#: Transactions that may wait for a connection: more would not begin within their time.
MAX_WAITING = 2_000
#: How long a connection is kept at hand unused, before asyncpg's pool has it and may close it.
RESTS_S = 60.0


@attrs.define(eq=False)
class _InHand:
    """A connection that a task holds, or the one that started it. ``outer`` is the one it held before."""

    outer: "_InHand | None"
    given_back: bool = False


_in_hand: ContextVar[_InHand | None] = ContextVar("connection_in_hand", default=None)


def _held() -> _InHand | None:
    """What the present task has in hand last, of what it has not given back."""
    held = _in_hand.get()
    while held is not None and held.given_back:
        held = held.outer
    return held


def needs_second() -> bool:
    """Whether the present task would wait with a connection in hand; who has two already waits like all."""
    held = _held()
    return held is not None and held.outer is None


def check_tenant_id(tenant_id: str) -> str:
    """``tenant_id`` itself. Raises ``ValueError`` when it is ill-formed."""
    if not TENANT_ID.fullmatch(tenant_id):
        raise ValueError(
            f"tenant id {tenant_id!r} must be 1 to 128 letters, digits or . _ : - and start with a letter or digit"
        )
    return tenant_id


class TenantTransaction:
    """One open transaction. Made by ``Pool.tenant`` only."""

    __slots__ = ("_callbacks", "_connection", "_mode", "_tenant_id", "begun")

    def __init__(self, connection: TenantConnection | None, tenant_id: str, mode: Mode) -> None:
        self._connection = connection
        self._tenant_id = tenant_id
        self._mode = mode
        self._callbacks: list[Callable[[], None]] = []
        #: Whether Postgres holds it open, so that it takes a COMMIT or a ROLLBACK.
        self.begun = False

    @property
    def tenant_id(self) -> str:
        return self._tenant_id

    @property
    def mode(self) -> Mode:
        return self._mode

    async def fetch(self, sql: str, *args: object) -> Sequence[Row]:
        rows: Sequence[Row] = (await self._bound().ask(sql, args, 0, self._ahead))[0]
        return rows

    async def fetchrow(self, sql: str, *args: object) -> Row | None:
        rows = (await self._bound().ask(sql, args, 1, self._ahead))[0]
        return rows[0] if rows else None

    async def fetchval(self, sql: str, *args: object) -> Any:
        rows = (await self._bound().ask(sql, args, 1, self._ahead))[0]
        return rows[0][0] if rows else None

    async def execute(self, sql: str, *args: object) -> str:
        if args:
            status: bytes = (await self._bound().ask(sql, args, 0, self._ahead))[1]
            return status.decode()
        # Without arguments it may be several statements, or one that means the whole transaction.
        await self.begin()
        return await self._bound().execute(sql)

    async def executemany(self, sql: str, args: Iterable[Sequence[object]]) -> None:
        await self.begin()
        await self._bound().executemany(sql, args)

    async def begin(self) -> None:
        """Let Postgres hold it open from now on, if it does not yet."""
        if not self.begun:
            access = "READ ONLY" if self._mode == "read" else "READ WRITE"
            tenant = check_tenant_id(self._tenant_id) if self._tenant_id else ""
            self.begun = True
            await self._bound().execute(f"BEGIN {access}; SET LOCAL ragwork.tenant = '{tenant}'")

    def end(self) -> None:
        """It asks nothing more: its connection may be another's."""
        self._connection = None

    def _bound(self) -> TenantConnection:
        if self._connection is None:
            raise asyncpg.InterfaceError("this transaction is over")
        return self._connection

    def _ahead(self) -> bytes:
        """What goes before the next statement."""
        if self.begun:
            return b""
        if self._mode == "read":
            return read_ahead(self._tenant_id)
        self.begun = True
        return begin_ahead(self._tenant_id)

    def on_commit(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def committed(self) -> None:
        for callback in self._callbacks:
            callback()


class _TenantScope:
    """Async context manager of one transaction; a class because it stands on every request's path."""

    __slots__ = ("_at_once", "_connection", "_in_hand", "_mode", "_place", "_pool", "_tenant_id", "_tx")

    def __init__(self, pool: "Pool", tenant_id: str, mode: Mode, at_once: bool) -> None:
        self._pool = pool
        self._tenant_id = check_tenant_id(tenant_id) if tenant_id else ""
        self._mode = mode
        self._at_once = at_once

    async def __aenter__(self) -> TenantTransaction:
        tenant = self._tenant_id or None
        self._connection, self._place = await self._pool.acquire(tenant, second=needs_second())
        self._in_hand = _InHand(_held())
        _in_hand.set(self._in_hand)
        self._tx = TenantTransaction(behind(self._connection), self._tenant_id, self._mode)
        if self._at_once:
            try:
                await self._tx.begin()
            except BaseException as error:
                failure = self._translated(error)
                await asyncio.shield(self._abandon())
                raise failure from error
        return self._tx

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        if error is not None:
            cause = self._translated(error)
            await asyncio.shield(self._abandon())
            if cause is not error:
                raise cause from error
            return
        try:
            if self._tx.begun:
                await self._connection.execute("COMMIT")
        except BaseException as failure:
            cause = self._translated(failure)
            await asyncio.shield(self._abandon())
            raise cause from failure
        await self._give_back()
        self._tx.committed()

    async def _abandon(self) -> None:
        """Roll back and give the connection up; shielded, so that no open transaction returns to the pool."""
        try:
            if self._tx.begun:
                await self._connection.execute("ROLLBACK")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
            if not self._lost():
                self._connection.terminate()
        await self._give_back()

    async def _give_back(self) -> None:
        self._in_hand.given_back = True
        self._tx.end()
        await self._pool.release(self._connection, self._place)

    def _lost(self) -> bool:
        try:
            return self._connection.is_closed()
        except asyncpg.InterfaceError:  # the pool has taken a dead connection back already
            return True

    def _translated(self, error: BaseException) -> BaseException:
        """``error``, or 503 when the database rather than the statement is its cause."""
        closed = self._lost()
        if isinstance(error, DATABASE_AWAY) or (closed and isinstance(error, CONNECTION_FAILED)):
            return database_unavailable()
        return error


async def _prepare(codecs: Sequence[RegisterCodecs], connection: TenantConnection) -> None:
    await connection.get_ready()
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=_encode_json, decoder=orjson.loads, format="text"
        )
    for register in codecs:
        await register(connection)


def _encode_json(value: object) -> str:
    return orjson.dumps(value).decode()


async def _keep(_connection: object) -> None:
    """No reset between uses: a transaction sets nothing but LOCALs, and a reset is a round trip."""


class Pool:
    """The application's connections, shared by tenants. Implements ``ragwork_hooks.storage.Database``."""

    def __init__(
        self,
        pool: "asyncpg.Pool[Any]",
        acquire_timeout_s: float,
        places: KernelShares,
        seconds: KernelShares,
        at_once: bool = False,
    ) -> None:
        self._pool = pool
        self._acquire_timeout_s = acquire_timeout_s
        self._places = places
        self._seconds = seconds
        self._at_once = at_once
        #: Connections at rest, and since when, the latest last: the next gets one without a task or a timer, which
        #: asyncpg's own pool takes for both ways.
        self._resting: deque[tuple[PoolConnectionProxy[Any], float]] = deque()

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        size: int,
        statement_timeout_ms: int,
        acquire_timeout_s: float = 5.0,
        shares: SharesFactory | None = None,
        name: str = "database",
        codecs: Sequence[RegisterCodecs] = (),
        at_once: bool = False,
    ) -> "Pool":
        """Connect with ``size`` connections at most, and one for second ones; ``name`` is what ``shares`` call
        them. ``codecs`` are awaited with each connection, once. ``at_once`` is for who has another database to ask:
        a transaction begins with a round trip of its own, which tells in time that this one is away.

        Raises what asyncpg raises.
        """
        pool = await asyncpg.create_pool(
            dsn,
            min_size=min(2, size),
            max_size=size + 1,
            connection_class=TenantConnection,
            init=partial(_prepare, codecs),
            reset=_keep,
            command_timeout=statement_timeout_ms / 1000 + 5,
            server_settings={
                "application_name": "ragwork",
                "statement_timeout": str(statement_timeout_ms),
                "jit": "off",  # short statements: compiling them costs more than it saves
            },
        )
        shares = shares or SharesFactory("")
        places = shares.make(name, size, waiting=MAX_WAITING)
        seconds = shares.make(f"{name}.second", 1, waiting=MAX_WAITING)
        return cls(pool, acquire_timeout_s, places, seconds, at_once)

    async def acquire(
        self, tenant_id: str | None, *, second: bool = False
    ) -> "tuple[PoolConnectionProxy[Any], KernelShare]":
        """A connection, and its place among those that the tenant holds; ``second`` for who holds one already."""
        places = self._seconds if second else self._places
        place = places.take_now(tenant=tenant_id)
        if place is None:
            try:
                async with asyncio.timeout(self._acquire_timeout_s):
                    place = await places.take(tenant=tenant_id)
            except TimeoutError:
                raise busy(f"no database connection came free in {self._acquire_timeout_s:g} s") from None
        try:
            return await self._rested() or await self._pool.acquire(timeout=self._acquire_timeout_s), place
        except BaseException as error:
            place.release()
            if isinstance(error, (*DATABASE_AWAY, *CONNECTION_FAILED)):
                raise database_unavailable() from error
            raise

    async def release(self, connection: "PoolConnectionProxy[Any]", place: KernelShare) -> None:
        try:
            reached, now = behind(connection), asyncio.get_running_loop().time()
            if reached is None or not reached.reusable or self._pool.is_closing():
                await self._pool.release(connection)
            else:
                self._resting.append((connection, now))
            if self._resting and now - self._resting[0][1] > RESTS_S:
                await self._pool.release(self._resting.popleft()[0])
        finally:
            place.release()

    async def _rested(self) -> "PoolConnectionProxy[Any] | None":
        """The latest of those at rest that is still open."""
        while self._resting:
            connection, _since = self._resting.pop()
            reached = behind(connection)
            if reached is not None and not reached.is_closed():
                return connection
            await self._pool.release(connection)
        return None

    def tenant(self, tenant_id: str, mode: Mode = "write", *, stale: bool = False) -> _TenantScope:
        if not tenant_id:
            raise ValueError("a tenant transaction needs a tenant id")
        return _TenantScope(self, tenant_id, mode, self._at_once)

    def anonymous(self) -> _TenantScope:
        return _TenantScope(self, "", "read", self._at_once)

    def connections(self) -> Mapping[str, int]:
        """How many connections are open, in use and idle, and how many there may be."""
        opened, idle = self._pool.get_size(), self._pool.get_idle_size() + len(self._resting)
        return {
            "size": opened,
            "checked_out": opened - idle,
            "checked_in": idle,
            "limit": self._pool.get_max_size(),
        }

    async def ping(self) -> None:
        """One round trip; raises ``Problem`` 503 when the database is away."""
        connection, place = await self.acquire(None)
        try:
            await connection.execute("SELECT 1")
        except (*DATABASE_AWAY, *CONNECTION_FAILED) as error:
            raise database_unavailable() from error
        finally:
            await self.release(connection, place)

    async def close(self) -> None:
        while (connection := await self._rested()) is not None:
            await self._pool.release(connection)
        try:
            await asyncio.wait_for(self._pool.close(), 5)
        except TimeoutError:
            self._pool.terminate()
