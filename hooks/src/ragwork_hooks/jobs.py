"""Work outside the request: jobs, schedules and per-process tickers."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol

import attrs

from ragwork_hooks.storage import Transaction


@attrs.frozen(kw_only=True)
class Job:
    """One attempt. ``payload`` holds ids, never content. ``attempt`` counts from 1."""

    id: str
    tenant_id: str
    kind: str
    payload: Mapping[str, str]
    attempt: int


class PermanentFailure(Exception):
    """The job, or the delivery of an event, can't succeed by trying again; the text is the reason that
    operators and users see.
    """


@attrs.frozen(kw_only=True)
class JobKind:
    """How a kind of job runs.

    A raise retries with growing delay from ``backoff_s`` until ``max_attempts``, then ``on_dead`` is called once with
    the reason, in words for users: those of a ``PermanentFailure``, ``ProviderError`` or ``Problem``, else that it was
    unexpected. A worker that dies loses its lease and the job is claimed again: that counts as an attempt.
    ``concurrency`` is how many jobs of one tenant a worker runs at once; of all tenants together it runs one more.
    """

    name: str
    run: Callable[[Job], Awaitable[None]]
    on_dead: Callable[[Job, str], Awaitable[None]]
    max_attempts: int = 3
    backoff_s: float = 1.0
    concurrency: int = 4


@attrs.frozen(kw_only=True)
class JobStatus:
    """Where a job stands; ``reason`` is the last failure's text, for operators."""

    id: str
    kind: str
    state: Literal["queued", "running", "retrying", "succeeded", "dead"]
    attempt: int
    next_attempt_at: datetime | None
    reason: str | None


@attrs.frozen(kw_only=True)
class Schedule:
    """A task that runs once per ``cron`` tick over all workers."""

    name: str
    cron: str
    run: Callable[[], Awaitable[None]]


@attrs.frozen(kw_only=True)
class PeriodicTask:
    """A task that every serving process repeats, ``every_s`` seconds apart. A raise is logged and counted."""

    name: str
    every_s: float
    run: Callable[[], Awaitable[None]]


@attrs.frozen(kw_only=True)
class QueueDepth:
    """The queue of one kind over all tenants. ``oldest_s``: how long the oldest due job has waited."""

    kind: str
    waiting: int
    running: int
    dead: int
    oldest_s: float


@attrs.frozen(kw_only=True)
class WorkerStatus:
    """A worker and the seconds since its last heartbeat, on the database's clock."""

    id: str
    pid: int
    silent_s: float


@attrs.frozen(kw_only=True)
class ScheduleStatus:
    """What became of a schedule over all workers. ``tick`` is the last one that a worker took; ``reason`` why
    the latest run failed, ``None`` when it succeeded.
    """

    name: str
    tick: datetime
    started_at: datetime | None
    succeeded_at: datetime | None
    reason: str | None


class Jobs(Protocol):
    async def enqueue(self, tx: Transaction, kind: str, payload: Mapping[str, str]) -> str:
        """A job's id; it exists if and only if ``tx`` commits. One round trip."""

    async def status(self, tx: Transaction, job_id: str) -> JobStatus | None:
        """Of a job of the transaction's tenant."""

    async def depth(self, tx: Transaction) -> Sequence[QueueDepth]:
        """The queues over all tenants, from any tenant's transaction."""

    async def workers(self, tx: Transaction) -> Sequence[WorkerStatus]:
        """All workers that did not leave in order within the last hour, the freshest first."""

    async def schedules(self, tx: Transaction) -> Sequence[ScheduleStatus]:
        """Every schedule that some worker has known, by name."""
