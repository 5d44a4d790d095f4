"""Enqueueing and reading jobs; the worker that runs them is in ``worker``."""

import re
from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

import asyncpg
import attrs
from ragwork_hooks.jobs import JobStatus, QueueDepth, ScheduleStatus, WorkerStatus
from ragwork_hooks.storage import Transaction

CHANNEL = "ragwork_jobs"
State: TypeAlias = Literal["queued", "running", "retrying", "succeeded", "dead"]

_STATE = """CASE status WHEN 'queued' THEN CASE WHEN attempts = 0 THEN 'queued' ELSE 'retrying' END
    WHEN 'picked' THEN 'running' WHEN 'successful' THEN 'succeeded' ELSE 'dead' END"""
_STATUS = f"""SELECT job_id::text AS id, entrypoint AS kind, {_STATE} AS state, attempts AS attempt, reason,
    CASE WHEN status = 'queued' AND attempts > 0 THEN execute_after END AS next_attempt_at
    FROM ragwork.jobs WHERE job_id = $1"""  # noqa: S608 - a constant
_REPORT = f"""SELECT job_id::text AS id, tenant_id, entrypoint AS kind, {_STATE} AS state,
    attempts AS attempt, reason, payload::text, created AS created_at,
    CASE WHEN status = 'queued' THEN execute_after END AS next_attempt_at,
    updated AS updated_at, queue_manager_id::text AS worker
    FROM ragwork.jobs"""  # noqa: S608 - a constant
_WORKERS = """SELECT id::text, pid, extract(epoch FROM now() - seen_at)::double precision AS silent_s
    FROM ragwork.workers ORDER BY silent_s"""
_SCHEDULES = "SELECT name, tick, started_at, succeeded_at, reason FROM ragwork.schedules ORDER BY name"


class PostgresJobs:
    """Implements ``ragwork_hooks.jobs.Jobs``. ``kinds`` holds the names that some plugin contributed."""

    def __init__(self, kinds: Container[str]) -> None:
        self._kinds = kinds

    async def enqueue(self, tx: Transaction, kind: str, payload: Mapping[str, str]) -> str:
        """Raises ``LookupError`` for a kind that nobody runs: such a job would wait for ever."""
        if kind not in self._kinds:
            raise LookupError(f"no enabled plugin runs jobs of kind {kind!r}")
        return str(await tx.fetchval("SELECT ragwork.enqueue($1, $2)", kind, dict(payload)))

    async def status(self, tx: Transaction, job_id: str) -> JobStatus | None:
        if not _is_uuid(job_id):
            return None
        row = await tx.fetchrow(_STATUS, UUID(job_id))
        return None if row is None else JobStatus(**row)

    async def depth(self, tx: Transaction) -> Sequence[QueueDepth]:
        return [QueueDepth(**row) for row in await tx.fetch("SELECT * FROM ragwork.queue_depth()")]

    async def workers(self, tx: Transaction) -> Sequence[WorkerStatus]:
        return [WorkerStatus(**row) for row in await tx.fetch(_WORKERS)]

    async def schedules(self, tx: Transaction) -> Sequence[ScheduleStatus]:
        return [ScheduleStatus(**row) for row in await tx.fetch(_SCHEDULES)]


@attrs.frozen(kw_only=True)
class JobReport:
    """A job as an operator sees it. ``payload`` is JSON text; ``worker`` holds it while it runs."""

    id: str
    tenant_id: str
    kind: str
    state: State
    attempt: int
    reason: str | None
    payload: str
    next_attempt_at: datetime | None
    created_at: datetime
    updated_at: datetime
    worker: str | None


async def list_jobs(
    connection: "asyncpg.Connection[Any]",
    state: State | None = None,
    tenant_id: str | None = None,
    limit: int = 50,
) -> Sequence[JobReport]:
    """The latest jobs first. ``connection`` is the dispatcher's, which sees all tenants."""
    rows = await connection.fetch(
        f"SELECT * FROM ({_REPORT}) AS report WHERE ($1::text IS NULL OR state = $1)"  # noqa: S608
        " AND ($2::text IS NULL OR tenant_id = $2) ORDER BY updated_at DESC LIMIT $3",
        state,
        tenant_id,
        limit,
    )
    return [JobReport(**row) for row in rows]


async def why(connection: "asyncpg.Connection[Any]", job_id: str) -> JobReport | None:
    """One job with the reason of its last failure."""
    if not _is_uuid(job_id):
        return None
    row = await connection.fetchrow(f"{_REPORT} WHERE job_id = $1", UUID(job_id))
    return None if row is None else JobReport(**row)


async def retry(tx: Transaction, job_id: str) -> bool:
    """Queue a dead job of the tenant again with all its attempts; False when there is no such dead job."""
    return _is_uuid(job_id) and bool(await tx.fetchval("SELECT ragwork.retry_job($1)", UUID(job_id)))


def _is_uuid(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text) is not None
