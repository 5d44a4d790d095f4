"""Durable events: published into the outbox by the change's own transaction, relayed to sinks."""

import asyncio
import contextlib
import itertools
import logging
import random
import time
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeAlias
from uuid import uuid4

import asyncpg
import attrs
import orjson
from ragwork_hooks.events import Delivery, Event, Sink
from ragwork_hooks.jobs import PermanentFailure
from ragwork_hooks.operations import Metrics
from ragwork_hooks.redaction import Redactor
from ragwork_hooks.storage import Row, Transaction

from ragwork_kernel.base.error_answers import DATABASE_TROUBLE
from ragwork_kernel.base.resilient_loops import NotifyListener, close_pool, forever, open_pool, stop

CHANNEL = "ragwork_outbox"
LEASE_S, DELIVER_S, RUN_S = 30.0, 10.0, 10.0
POLL_S = 2.0
PER_LANE, BATCH, LANES = 20, 100, 16
BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 60.0

_PUBLISH = """WITH written AS (
        INSERT INTO ragwork.outbox (tenant_id, sink, type, key, payload)
        SELECT ragwork.tenant(), sink, $2, $3, $4 FROM unnest($1::text[]) AS sink)
    SELECT pg_notify('ragwork_outbox', '')"""
_CLAIM = "SELECT *, payload::text AS body FROM ragwork.claim_events($1, $2, $3, $4, $5)"
_MINE = "tenant_id = $1 AND relay = $2"
_DONE = f"DELETE FROM ragwork.outbox WHERE {_MINE} AND id = ANY ($3::bigint[])"  # noqa: S608 - constants
_REST = f"""UPDATE ragwork.outbox SET attempt = attempt - 1, due_at = now(), relay = NULL
    WHERE {_MINE} AND id = ANY ($3::bigint[])"""  # noqa: S608 - constants
_FAILED = f"""UPDATE ragwork.outbox SET due_at = now() + $4::interval, relay = NULL, reason = $5,
        dead_at = CASE WHEN $6 THEN now() END
    WHERE {_MINE} AND id = $3"""  # noqa: S608 - constants
# What was cut off, and what a claim took whose answer never arrived.
_LEAVE = """UPDATE ragwork.outbox SET attempt = attempt - 1, due_at = now(), relay = NULL
    WHERE relay = $1 AND dead_at IS NULL"""

log = logging.getLogger(__name__)
Lane: TypeAlias = tuple[str, str, str]


@attrs.frozen(kw_only=True)
class DeliveryFailure:
    """Why a delivery failed; a ``final`` one is not tried again."""

    reason: str
    final: bool


class OutboxEvents:
    """Implements ``ragwork_hooks.events.Events``."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    async def publish(self, tx: Transaction, event: Event) -> None:
        """One round trip, none when no sink wants the type."""
        names = [sink.name for sink in self._sinks if _wants(sink, event.type)]
        if names:
            await tx.execute(_PUBLISH, names, event.type, event.key, dict(event.payload))


class Relay:
    """Delivers what is in the outbox to ``sinks``; ``dsn`` is the dispatcher's. An async context manager.

    Any number of relays may run. Events of one tenant, sink and key keep their order: a failing one holds
    up its own lane only, until it is delivered or dead.
    """

    def __init__(
        self,
        dsn: str,
        sinks: Sequence[Sink],
        metrics: Metrics,
        max_attempts: int = 12,
        redactor: Redactor | None = None,
    ) -> None:
        self._redactor = redactor or Redactor()
        self._dsn = dsn
        self._sinks = {sink.name: sink for sink in sinks}
        self._metrics = metrics
        self._max_attempts = max_attempts
        self._id = uuid4()
        self._listener = NotifyListener(dsn, CHANNEL)
        self._lanes: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._pool = await open_pool(self._dsn, "ragwork relay", 3)
        if self._sinks:
            self._loops = [
                asyncio.create_task(forever("relay bell", self._listener.listen), name="relay bell"),
                asyncio.create_task(forever("relay", self._step), name="relay"),
            ]
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        await stop(*self._loops)
        if self._lanes:
            await asyncio.wait(self._lanes, timeout=DELIVER_S)
        await stop(*self._lanes)
        with contextlib.suppress(*DATABASE_TROUBLE, asyncpg.PostgresError):
            await self._pool.execute(_LEAVE, self._id, timeout=2)
        await close_pool(self._pool)

    async def _step(self) -> None:
        rows: Sequence[Row] = []
        if len(self._lanes) < LANES:
            lease = timedelta(seconds=LEASE_S)
            rows = await self._pool.fetch(_CLAIM, self._id, list(self._sinks), PER_LANE, BATCH, lease)
        for lane, events in itertools.groupby(sorted(rows, key=_place), key=_lane):
            task = asyncio.create_task(self._deliver(self._sinks[lane[1]], list(events)))
            self._lanes.add(task)
            task.add_done_callback(self._finished)
        if not rows:
            await self._listener.wait(POLL_S)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._lanes.discard(task)
        self._listener.rung.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The rows stay leased to nobody who acts; when the lease ends they are delivered again.
            log.warning("outbox: an outcome could not be written: %s", error)

    async def _deliver(self, sink: Sink, rows: Sequence[Row]) -> None:
        """One lane's rows in order, up to the first failure or until time is up; the rest is given back."""
        started, done = time.monotonic(), 0
        failure: DeliveryFailure | None = None
        while done < len(rows) and failure is None and time.monotonic() - started < RUN_S:
            failure = await self._offer(sink, rows[done])
            done += failure is None
        tenant_id, ids = rows[0]["tenant_id"], [row["id"] for row in rows]
        rest = ids[done + (failure is not None) :]
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_DONE, tenant_id, self._id, ids[:done])
            if rest:
                await connection.execute(_REST, tenant_id, self._id, rest)
            if failure is not None:
                await self._fail(connection, sink, rows[done], failure)

    async def _offer(self, sink: Sink, row: Row) -> DeliveryFailure | None:
        """Why the sink did not take it, ``None`` when it did."""
        event = Event(type=row["type"], key=row["key"], payload=orjson.loads(row["body"]))
        delivery = Delivery(id=row["id"], tenant_id=row["tenant_id"], event=event, attempt=row["attempt"])
        try:
            async with asyncio.timeout(DELIVER_S):
                await sink.deliver(delivery)
        except Exception as error:
            log.warning("sink %s, event %d, attempt %d: %r", sink.name, delivery.id, delivery.attempt, error)
            return DeliveryFailure(
                reason=self._redactor.text(_storable(error)), final=isinstance(error, PermanentFailure)
            )
        self._count(sink, "delivered")
        return None

    async def _fail(
        self,
        connection: "asyncpg.pool.PoolConnectionProxy[Any]",
        sink: Sink,
        row: Row,
        failure: DeliveryFailure,
    ) -> None:
        dead = failure.final or row["attempt"] >= self._max_attempts
        delay = min(BACKOFF_S * 2.0 ** min(row["attempt"] - 1, 30), LONGEST_BACKOFF_S)
        delay *= random.uniform(0.75, 1.25)  # noqa: S311 - spreads retries, no secret
        await connection.execute(
            _FAILED, row["tenant_id"], self._id, row["id"], timedelta(seconds=delay), failure.reason, dead
        )
        self._count(sink, "dead" if dead else "retried")
        asyncio.get_running_loop().call_later(delay + 0.01, self._listener.rung.set)

    def _count(self, sink: Sink, outcome: str) -> None:
        self._metrics.count("events_total", "Deliveries by outcome.", sink=sink.name, outcome=outcome)


def _storable(error: Exception) -> str:
    """Its text as Postgres takes it."""
    return f"{type(error).__name__}: {error}".replace("\x00", "").encode("utf-8", "replace").decode()[:500]


def _wants(sink: Sink, event_type: str) -> bool:
    return any(
        event_type.startswith(wanted[:-1]) if wanted.endswith(".*") else event_type == wanted
        for wanted in sink.types
    )


def _lane(row: Row) -> Lane:
    return row["tenant_id"], row["sink"], row["key"]


def _place(row: Row) -> tuple[Lane, int]:
    return _lane(row), row["id"]
