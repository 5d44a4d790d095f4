"""A connection whose statements take what binds them to a tenant along in their own message.

Postgres runs statements of the extended protocol in order up to a Sync, and none after one that failed. So BEGIN and
the tenant need no round trip of their own: they are written just before asyncpg writes the statement, and asyncpg
takes their replies, which carry no rows, for parts of the statement's.
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import asyncpg
from asyncpg.pool import PoolConnectionProxy

# Both settings end with the transaction. No row comes back, since what is set is never NULL.
_BIND_READ: Final = """SELECT WHERE
    set_config('ragwork.tenant', $1, true) || set_config('transaction_read_only', 'on', true) IS NULL"""
_BIND_WRITE: Final = "SELECT WHERE set_config('ragwork.tenant', $1, true) IS NULL"
_PREPARE: Final = f"""PREPARE ragwork_bind_read (text) AS {_BIND_READ};
    PREPARE ragwork_bind_write (text) AS {_BIND_WRITE}"""


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


#: Statements after which asyncpg's pool opens a connection anew, and the server's memory of it ends.
_MOST_STATEMENTS: Final = 50_000
#: Run the unnamed portal to its end.
_EXECUTE: Final = _message(b"E", b"\0" + struct.pack("!i", 0))
_BEGIN: Final = (
    _message(b"P", b"\0BEGIN READ WRITE\0" + struct.pack("!h", 0))
    + _message(b"B", b"\0\0" + struct.pack("!hhh", 0, 0, 0))
    + _EXECUTE
)


def _bind(statement: bytes, tenant_id: str) -> bytes:
    """Execute a statement of ``_PREPARE`` with ``tenant_id`` as its parameter."""
    value = tenant_id.encode()
    parameters = struct.pack("!hhi", 0, 1, len(value)) + value + struct.pack("!h", 0)
    return _message(b"B", b"\0" + statement + b"\0" + parameters) + _EXECUTE


def behind(proxy: "PoolConnectionProxy[Any]") -> "TenantConnection | None":
    """What a pool's proxy stands for; ``None`` once it was given back, or lost."""
    connection: TenantConnection | None = proxy._con  # type: ignore[attr-defined]  # the stubs leave it out
    return connection


def read_ahead(tenant_id: str) -> bytes:
    """Before a statement that is a read-only transaction by itself."""
    return _bind(b"ragwork_bind_read", tenant_id)


def begin_ahead(tenant_id: str) -> bytes:
    """Before the first statement of a transaction."""
    return _BEGIN + _bind(b"ragwork_bind_write", tenant_id)


class TenantConnection(asyncpg.Connection):
    """asyncpg's connection with ``ask``. ``get_ready`` comes first."""

    # What ``ask`` needs of the class is private to it.
    _protocol: Any
    _transport: asyncio.WriteTransport
    _stmt_exclusive_section: AbstractContextManager[None]
    _get_statement: Callable[[str, None], Awaitable[object]]
    _settling: Any

    async def get_ready(self) -> None:
        """Prepare what ``ask`` sends ahead. Once for each connection."""
        # The object itself refuses once the connection was lent and given back; its state does not.
        self._settling = await self.prepare("SELECT 1", name="ragwork_settling")
        await self.execute(_PREPARE)

    @property
    def reusable(self) -> bool:
        """Whether the next may have it as it is: open, at rest, in no transaction."""
        protocol = self._protocol
        busy = protocol.is_in_transaction() or protocol._is_cancelling()
        return not busy and not self.is_closed() and protocol.queries_count < _MOST_STATEMENTS

    async def ask(
        self, sql: str, args: Sequence[object], limit: int, ahead: Callable[[], bytes]
    ) -> tuple[list[Any], bytes]:
        """At most ``limit`` rows of one statement (0: all) and its status, in one round trip once it is prepared.

        ``ahead`` is called when its bytes are about to be sent. Raises what asyncpg's ``fetch`` does.
        """
        protocol = self._protocol
        with self._stmt_exclusive_section:
            statement = await self._get_statement(sql, None)
            if protocol._is_cancelling():
                await protocol._wait_for_cancellation()
            sent = protocol.queries_count
            if first := ahead():
                self._transport.write(first)
            try:
                rows, status, _ = await protocol.bind_execute(statement, args, "", limit, True, None)
            except (asyncpg.OutdatedSchemaCacheError, asyncpg.InvalidCachedStatementError):
                await self.reload_schema_state()
                raise
            except BaseException:
                if first and protocol.queries_count == sent and not self.is_closed():
                    # An argument that does not fit is refused before it is sent. What went ahead needs an end.
                    await protocol.bind_execute(self._settling._state, (), "", 0, True, None)
                raise
            return rows, status
