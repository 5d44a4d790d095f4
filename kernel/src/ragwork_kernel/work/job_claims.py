"""Whose job a worker takes next: that of the tenant which holds the fewest places, over all workers.

First it is asked which tenants wait and what each holds; then pgqueuer's statement claims, lane by lane (a lane is
a tenant's jobs of one kind). Two workers that ask at the same time may both serve one tenant; the next turn
makes up for it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import attrs
from ragwork_hooks.storage import Row

#: Every tenant and kind that has a job to claim, with the places that it holds. Parameters: kinds, lease.
_TURNS = """WITH RECURSIVE tenants AS (
        SELECT kind, (SELECT min(j.tenant_id) FROM ragwork.jobs j
                      WHERE j.status = 'queued' AND j.entrypoint = kind) AS tenant
        FROM unnest($1::text[]) AS kind
        UNION ALL
        SELECT kind, (SELECT min(j.tenant_id) FROM ragwork.jobs j
                      WHERE j.status = 'queued' AND j.entrypoint = kind AND j.tenant_id > tenant)
        FROM tenants WHERE tenant IS NOT NULL),
    picked AS (
        SELECT entrypoint AS kind, tenant_id AS tenant, max(priority) AS priority,
            count(*) FILTER (WHERE heartbeat >= now() - $2::interval) AS held,
            bool_or(heartbeat < now() - $2::interval) AS lost
        FROM ragwork.jobs WHERE status = 'picked' AND entrypoint = ANY ($1::text[]) GROUP BY 1, 2),
    candidates AS (
        SELECT kind, tenant FROM tenants WHERE tenant IS NOT NULL
        UNION SELECT kind, tenant FROM picked WHERE lost)
    SELECT kind, tenant, COALESCE(held, 0) AS held, COALESCE(head.priority, picked.priority) AS priority
    FROM candidates LEFT JOIN picked USING (kind, tenant)
    LEFT JOIN LATERAL (
        SELECT j.priority FROM ragwork.jobs j
        WHERE j.status = 'queued' AND j.tenant_id || '/' || j.entrypoint = tenant || '/' || kind
            AND j.execute_after < now()
        ORDER BY j.priority DESC, j.id LIMIT 1) AS head ON true
    WHERE head.priority IS NOT NULL OR picked.lost"""


@attrs.define(kw_only=True)
class TenantTurn:
    """A tenant that waits for places of ``kind``: ``held`` over all workers, ``here`` in this one.

    ``priority`` is that of its first job: higher is earlier.
    """

    kind: str
    tenant: str
    held: int
    here: int
    priority: int

    @property
    def lane(self) -> str:
        return f"{self.tenant}/{self.kind}"


class Claims:
    """Claims for the worker ``worker_id``, each under a lease of ``lease_s`` seconds."""

    def __init__(self, worker_id: UUID, lease_s: float) -> None:
        self._worker_id = worker_id
        self._lease = timedelta(seconds=lease_s)
        self._statement: str | None = None

    async def take(
        self,
        pool: "asyncpg.Pool[Any]",
        concurrency: Mapping[str, int],
        running: Mapping[tuple[str, str], int],
    ) -> AsyncIterator[Row]:
        """Claimed rows for free places, each as soon as it is ours. ``concurrency`` is each kind's; ``running``
        counts this worker's jobs by kind and tenant. A row's ``entrypoint`` is its lane.
        """
        free = {kind: places_of(most) - _total(running, kind) for kind, most in concurrency.items()}
        kinds = [kind for kind, places in free.items() if places > 0]
        if not kinds:
            return
        rows = await pool.fetch(_TURNS, kinds, self._lease)
        turns = [TenantTurn(**row, here=running.get((row["kind"], row["tenant"]), 0)) for row in rows]
        for lane, number in shared_out(turns, concurrency, free).items():
            for row in await self._claim(pool, lane, number):
                yield row

    async def _claim(self, pool: "asyncpg.Pool[Any]", lane: str, number: int) -> Sequence[Row]:
        if self._statement is None:
            self._statement = await asyncio.to_thread(_claim_statement)
        rows: Sequence[Row] = await pool.fetch(self._statement, number, [lane], self._worker_id, self._lease)
        return rows


def places_of(concurrency: int) -> int:
    """Places of a kind in one worker: one more than a single tenant may hold, so that a tenant whose jobs are
    long never makes another wait for one of them.
    """
    return concurrency + 1


def shared_out(
    turns: Sequence[TenantTurn], concurrency: Mapping[str, int], free: Mapping[str, int]
) -> Mapping[str, int]:
    """How many jobs of each lane to claim, in the order of their turns."""
    shares: dict[str, int] = {}
    left = dict(free)
    while ready := [t for t in turns if left[t.kind] > 0 and t.here < concurrency[t.kind]]:
        turn = min(ready, key=lambda t: (t.held, -t.priority, t.lane))
        turn.held += 1
        turn.here += 1
        turn.priority -= 1  # as if its next job were queued right behind
        left[turn.kind] -= 1
        shares[turn.lane] = shares.get(turn.lane, 0) + 1
    return shares


def _total(running: Mapping[tuple[str, str], int], kind: str) -> int:
    return sum(number for (other, _tenant), number in running.items() if other == kind)


def _claim_statement() -> str:
    """pgqueuer's claim over our lanes. Parameters: most rows, lanes, worker id, lease.

    Imported here and in a thread, for its import takes a third of a second and no request waits for it.
    """
    from pgqueuer.adapters.persistence.qb import QueryQueueBuilder
    from pgqueuer.domain.settings import DBSettings
    from pgqueuer.domain.types import QueueManagerId

    names = DBSettings(
        db_schema="ragwork", queue_table="lanes", queue_table_log="jobs_log", queue_status_type="job_state"
    )
    query = QueryQueueBuilder(names).build_dequeue_query(
        batch_size=1,
        entrypoints=[],
        concurrency_limits=[],
        queue_manager_id=QueueManagerId(uuid4()),
        global_concurrency_limit=None,
        heartbeat_timeout=timedelta(),
    )
    return query.sql
