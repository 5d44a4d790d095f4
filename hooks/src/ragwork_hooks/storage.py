"""Where things are kept: the tenant-bound database handle, shared state, blobs and caches."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import attrs

V = TypeVar("V")
Mode: TypeAlias = Literal["read", "write"]
# Rows are typed by the SQL beside the call, not by Python: the one place where Any is honest.
Row: TypeAlias = Mapping[str, Any]


class Transaction(Protocol):
    """One database transaction bound to one tenant; other tenants' rows don't exist in it.

    SQL uses ``$1`` parameters and fully qualified names. Every call is one round trip.
    """

    @property
    def tenant_id(self) -> str: ...

    @property
    def mode(self) -> Mode: ...

    async def fetch(self, sql: str, *args: object) -> Sequence[Row]: ...

    async def fetchrow(self, sql: str, *args: object) -> Row | None: ...

    async def fetchval(self, sql: str, *args: object) -> Any: ...

    async def execute(self, sql: str, *args: object) -> str: ...

    async def executemany(self, sql: str, args: Iterable[Sequence[object]]) -> None: ...

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` after the commit, in order; never after a rollback. It must not block."""


class Database(Protocol):
    """Hands out transactions. There is no way to a raw connection or pool."""

    def tenant(
        self, tenant_id: str, mode: Mode = "write", *, stale: bool = False
    ) -> AbstractAsyncContextManager[Transaction]:
        """A transaction bound to ``tenant_id``; commits on leaving, rolls back on an exception.

        A ``stale`` read may come from a replica that lags: never for authorization, never for reading
        what the caller just wrote.

        ``read`` is READ ONLY, and each of its statements sees what was committed before it. Raises
        ``Problem`` 503 ``SERVICE_UNAVAILABLE`` when the database is away, at the latest on leaving, and
        ``ValueError`` for an ill-formed tenant id.
        """

    def anonymous(self) -> AbstractAsyncContextManager[Transaction]:
        """A read-only transaction without a tenant: tenant tables are empty in it.

        Only for SECURITY DEFINER look-ups that map a credential to its tenant. ``tenant_id`` is "".
        """


@attrs.frozen(kw_only=True)
class Bucket:
    """A token bucket: ``burst`` tokens at most, refilled by ``rate`` tokens per second."""

    key: str
    rate: float
    burst: float


@attrs.frozen(kw_only=True)
class BucketDraw:
    """A draw's outcome. ``wait_s`` is 0.0 when taken, else the seconds after which the same draw would
    succeed, ``inf`` when a burst is below the cost; then ``short`` is the index of the bucket that waits
    longest. ``remaining`` are the tokens left in each bucket.
    """

    wait_s: float
    short: int | None
    remaining: tuple[float, ...]


class SharedState(Protocol):
    """Small shared state. Every key is prefixed with the tenant by the caller's ``scope``.

    Two implementations, in-process and Redis, pass one contract kit. Times are seconds on the
    store's own clock.
    """

    async def increment(self, scope: str, key: str, by: int = 1, ttl_s: float | None = None) -> int:
        """The counter after adding ``by``; ``ttl_s`` counts from its creation."""

    async def take(self, scope: str, buckets: Sequence[Bucket], cost: float) -> BucketDraw:
        """Draw ``cost`` tokens from every bucket or from none, in one atomic step."""

    async def put(self, scope: str, key: str, value: bytes, ttl_s: float) -> None:
        """Set a value that expires."""

    async def put_once(self, scope: str, key: str, value: bytes, ttl_s: float) -> bool:
        """Set only when absent; True when this call set it."""

    async def get(self, scope: str, key: str) -> bytes | None: ...

    async def pop(self, scope: str, key: str) -> bytes | None:
        """Read and delete in one step: a one-time value."""

    async def lock(self, scope: str, key: str, ttl_s: float) -> int | None:
        """An epoch larger than any before when the lock was taken, ``None`` when it is held."""

    async def unlock(self, scope: str, key: str, epoch: int) -> bool:
        """Release if ``epoch`` still holds it."""

    async def publish(self, channel: str, message: bytes) -> None: ...

    def subscribe(self, channel: str) -> AsyncIterator[bytes]:
        """Messages published after the first ``anext``."""


class Blob(Protocol):
    """Uploads, audio, exports. Keys are made by the server and live under the transaction's tenant."""

    async def put(self, tx: Transaction, key: str, data: bytes) -> None:
        """Store durably by the time the transaction commits; replaces."""

    async def get(self, tx: Transaction, key: str) -> bytes | None: ...

    async def delete(self, tx: Transaction, key: str) -> None:
        """Gone after the commit; absent is fine."""


class Cache(Protocol[V]):
    """A per-process cache whose entries end within 1 s of an ``invalidate`` in any process.

    While the invalidation channel is broken for 1 s it reads through.
    """

    async def get(self, key: str, load: Callable[[], Awaitable[V]]) -> V:
        """The cached value, else ``await load()`` (also stored). Concurrent misses load once."""

    async def get_optional(self, key: str, load: Callable[[], Awaitable[V | None]]) -> V | None:
        """The same for what may be absent: ``None`` is answered and never kept, so what is made next is found."""

    async def invalidate(self, tx: Transaction, key: str) -> None:
        """Drop ``key`` everywhere when ``tx`` commits; in this process before the commit returns."""


class Caches(Protocol):
    """Makes caches; ``name`` is unique and starts with the plugin's name. ``ttl_s`` bounds an entry's age."""

    def cache(self, name: str, *, ttl_s: float, size: int = 10_000) -> Cache[Any]: ...


@attrs.frozen(kw_only=True)
class DatabaseUrls:
    """Connection strings of the roles, as a database provider returns them.

    ``app`` is NOSUPERUSER NOBYPASSRLS and owns nothing; ``owner`` migrates; ``dispatcher`` claims
    jobs and outbox rows across tenants. ``None`` where this process does not have that role.
    """

    app: str
    owner: str | None
    dispatcher: str | None


class DatabaseServer(Protocol):
    """Provider of kind ``database``: what phase 0 of the boot starts before any plugin."""

    async def start(self) -> str:
        """Start or join the server; its administrator's DSN over TCP. Raises ``ConfigError`` naming the fix."""

    @property
    def socket_url(self) -> str | None:
        """The same over a local socket, when the started server has one: fewer microseconds a round trip."""

    async def stop(self) -> None:
        """Leave; the last one out stops it. Idempotent."""
