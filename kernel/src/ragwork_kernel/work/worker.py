"""The worker: claims jobs under a lease, runs them, settles them.

What is claimed is ``job_claims``'. What follows is fenced by the worker's id, so that a worker whose lease went to
another changes nothing any more.
"""

import asyncio
import contextlib
import logging
import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import attrs
import orjson
from ragwork_hooks.jobs import Job, JobKind, PermanentFailure, Schedule
from ragwork_hooks.operations import Metrics
from ragwork_hooks.redaction import Redactor
from ragwork_hooks.storage import Row

from ragwork_kernel.base.error_answers import DATABASE_TROUBLE, cause, told
from ragwork_kernel.base.resilient_loops import NotifyListener, close_pool, forever, open_pool, stop
from ragwork_kernel.base.shares import working_for
from ragwork_kernel.work.job_claims import Claims
from ragwork_kernel.work.queue import CHANNEL
from ragwork_kernel.work.scheduler import Scheduler

LEASE_S, BEAT_S, WATCH_S, POLL_S = 15.0, 3.0, 0.5, 2.0
#: A worker that could not renew its lease gives its jobs up this long before another may claim them.
MARGIN_S = 3.0
LONGEST_BACKOFF_S = 300.0
PRUNE_EVERY_S = 600.0
CONNECTIONS = 4

# Finishing, failing, giving back: one statement, and nothing when the lease is not ours any more.
_SETTLE = """UPDATE ragwork.jobs SET status = $3::ragwork.job_state, execute_after = now() + $4::interval,
        reason = $5, attempts = attempts - $6, queue_manager_id = NULL, updated = now()
    WHERE id = $1 AND queue_manager_id = $2 AND status = 'picked'"""
_BEAT = """WITH seen AS (
        INSERT INTO ragwork.workers (id, host, pid) VALUES ($1, $3, $4)
        ON CONFLICT (id) DO UPDATE SET seen_at = now())
    UPDATE ragwork.jobs SET heartbeat = now()
    WHERE id = ANY ($2::bigint[]) AND queue_manager_id = $1 AND status = 'picked' RETURNING id"""
_NEIGHBOURS = "SELECT id, pid FROM ragwork.workers WHERE host = $1"
_FREE_LEASES = """WITH gone AS (DELETE FROM ragwork.workers WHERE id = ANY ($1::uuid[]))
    UPDATE ragwork.jobs SET heartbeat = '-infinity'
    WHERE status = 'picked' AND queue_manager_id = ANY ($1::uuid[])"""
# Gives back, too, what a claim took whose answer never arrived.
_RELEASE = """WITH gone AS (DELETE FROM ragwork.workers WHERE id = $1)
    UPDATE ragwork.jobs SET status = 'queued', attempts = attempts - 1, queue_manager_id = NULL
    WHERE queue_manager_id = $1 AND status = 'picked'"""
_PRUNE = """WITH gone AS (DELETE FROM ragwork.workers WHERE seen_at < now() - interval '1 hour')
    DELETE FROM ragwork.jobs WHERE id IN (SELECT id FROM ragwork.jobs
        WHERE status = 'successful' AND updated < now() - interval '1 day'
           OR status = 'failed' AND updated < now() - interval '30 days'
        LIMIT 10000 FOR UPDATE SKIP LOCKED)"""

log = logging.getLogger(__name__)
Status: TypeAlias = Literal["queued", "successful", "failed"]


@attrs.frozen(kw_only=True)
class JobOutcome:
    """What becomes of a claimed job. ``refund`` attempts are not counted."""

    status: Status
    label: str
    delay_s: float = 0.0
    reason: str | None = None
    refund: int = 0


@attrs.define(kw_only=True, eq=False)
class _Claim:
    """A job in hand. ``renewed``: start of the last call that confirmed the lease, on our own clock."""

    id: int
    kind: JobKind
    job: Job
    reason: str | None
    renewed: float
    lost: bool = False
    task: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, row: Row, kind: JobKind, renewed: float) -> Self:
        job = Job(
            id=str(row["job_id"]),
            tenant_id=row["tenant_id"],
            kind=kind.name,
            payload=orjson.loads(row["payload"]),
            attempt=row["attempts"],
        )
        return cls(id=row["id"], kind=kind, job=job, reason=row["reason"], renewed=renewed)

    def give_up_lease(self) -> None:
        self.lost = True
        if self.task is not None:
            self.task.cancel()


class Worker:
    """Runs jobs of ``kinds`` and ``schedules``; ``dsn`` is the dispatcher's. An async context manager.

    Leaving waits ``stop_s`` seconds for running jobs, then cancels them and gives them back without
    counting the attempt. A lost database is waited for; jobs go on as long as their lease is safe.
    """

    def __init__(
        self,
        dsn: str,
        kinds: Sequence[JobKind],
        schedules: Sequence[Schedule],
        metrics: Metrics,
        stop_s: float = 20.0,
        redactor: Redactor | None = None,
    ) -> None:
        self.id = uuid4()
        self._dsn = dsn
        self._kinds = {kind.name: kind for kind in kinds}
        self._schedules = schedules
        self._metrics = metrics
        self._redactor = redactor or Redactor()
        self._stop_s = stop_s
        self._host = host()
        self._listener = NotifyListener(dsn, CHANNEL)
        self._running: dict[int, _Claim] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._claims = Claims(self.id, LEASE_S)

    async def __aenter__(self) -> Self:
        self._pool = await open_pool(self._dsn, "ragwork worker", CONNECTIONS)
        self._scheduler = Scheduler(self._pool, self._schedules, self._redactor)
        steps = {
            "worker bell": self._listener.listen,
            "worker heartbeat": self._beat,
            "worker watch": self._watch,
            "worker": self._work,
            "worker schedules": self._scheduler.step,
            "worker pruning": self._prune,
        }
        self._loops = [asyncio.create_task(forever(name, step), name=name) for name, step in steps.items()]
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        keepers = [t for t in self._loops if t.get_name() in {"worker heartbeat", "worker watch"}]
        await stop(*(t for t in self._loops if t not in keepers))
        await asyncio.gather(self._drain(), self._scheduler.finish(self._stop_s))
        await stop(*keepers)
        with contextlib.suppress(*DATABASE_TROUBLE, asyncpg.PostgresError):
            await self._pool.execute(_RELEASE, self.id, timeout=2)
        await close_pool(self._pool)

    async def run(self) -> None:
        """Work until cancelled."""
        async with self:
            await asyncio.Event().wait()

    # --- claiming ---------------------------------------------------------------------------------

    async def _work(self) -> None:
        if not await self._claim():
            await self._listener.wait(POLL_S)

    async def _claim(self) -> int:
        started = time.monotonic()
        running = Counter((claim.kind.name, claim.job.tenant_id) for claim in self._running.values())
        concurrency = {name: kind.concurrency for name, kind in self._kinds.items()}
        claimed = 0
        async for row in self._claims.take(self._pool, concurrency, running):
            claimed += 1
            # A late heartbeat lets our own claim see a job that still runs here.
            if row["id"] not in self._running:
                kind = row["entrypoint"].removeprefix(f"{row['tenant_id']}/")
                self._start(_Claim.of(row, self._kinds[kind], started))
        return claimed

    def _start(self, claim: _Claim) -> None:
        self._running[claim.id] = claim
        claim.task = asyncio.create_task(self._run(claim), name=f"job {claim.kind.name} {claim.job.id}")
        claim.task.add_done_callback(lambda _: self._ended(claim))

    def _ended(self, claim: _Claim) -> None:
        del self._running[claim.id]
        self._listener.rung.set()

    # --- running ----------------------------------------------------------------------------------

    async def _run(self, claim: _Claim) -> None:
        working_for.set(claim.job.tenant_id)
        started = time.monotonic()
        try:
            outcome = await self._attempt(claim)
        except asyncio.CancelledError:
            outcome = JobOutcome(status="queued", label="released", reason=claim.reason, refund=1)
        kind = claim.kind.name
        self._metrics.observe(
            "job_duration_seconds", "Run time of one attempt.", time.monotonic() - started, kind=kind
        )
        self._metrics.count(
            "jobs_total",
            "Attempts by outcome.",
            kind=kind,
            outcome="lost" if claim.lost else outcome.label,
        )
        await self._settle(claim, outcome)

    async def _attempt(self, claim: _Claim) -> JobOutcome:
        job, kind = claim.job, claim.kind
        if job.attempt > kind.max_attempts:
            return await self._mark_dead(claim, claim.reason or "no attempts left")
        try:
            await kind.run(job)
        except PermanentFailure as error:
            return await self._mark_dead(claim, self._text(cause(error)))
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            # A cancellation that is not ours is the job's own failure, or it would run for ever.
            if isinstance(error, asyncio.CancelledError) and claim.task and claim.task.cancelling():
                raise
            reason = self._text(cause(error))
            log.warning("job %s %s, attempt %d: %s", kind.name, job.id, job.attempt, reason, exc_info=True)
            if job.attempt >= kind.max_attempts:
                return await self._mark_dead(claim, reason)
            return JobOutcome(status="queued", label="retried", delay_s=self._backoff(claim), reason=reason)
        return JobOutcome(status="successful", label="succeeded")

    def _text(self, reason: str) -> str:
        """What Postgres can store and anybody may read, 500 characters at most."""
        return self._redactor.text(reason.replace("\x00", "").encode("utf-8", "replace").decode())[:500]

    async def _mark_dead(self, claim: _Claim, reason: str) -> JobOutcome:
        """Tell the owner first: a crash in between makes it hear twice, never not at all."""
        try:
            await claim.kind.on_dead(claim.job, told(reason))
        except Exception:
            log.exception(
                "job %s %s: its end could not be told; next try later", claim.kind.name, claim.job.id
            )
            return JobOutcome(status="queued", label="retried", delay_s=self._backoff(claim), reason=reason)
        return JobOutcome(status="failed", label="dead", reason=reason)

    def _backoff(self, claim: _Claim) -> float:
        exponent = min(claim.job.attempt - 1, 30)
        delay = min(claim.kind.backoff_s * 2.0**exponent, LONGEST_BACKOFF_S)
        return delay * random.uniform(0.75, 1.25)  # noqa: S311 - spreads retries, no secret

    async def _settle(self, claim: _Claim, outcome: JobOutcome) -> None:
        """Write the outcome; while the database is away, for as long as the lease is ours."""
        values = (
            claim.id,
            self.id,
            outcome.status,
            timedelta(seconds=outcome.delay_s),
            outcome.reason,
            outcome.refund,
        )
        while not claim.lost:
            try:
                await self._pool.execute(_SETTLE, *values)
            except DATABASE_TROUBLE:
                await asyncio.sleep(0.2)
            else:
                if outcome.delay_s:
                    asyncio.get_running_loop().call_later(outcome.delay_s + 0.01, self._listener.rung.set)
                return

    # --- leases -----------------------------------------------------------------------------------

    async def _beat(self) -> None:
        held = [claim for claim in self._running.values() if not claim.lost]
        now = time.monotonic()
        rows = await self._pool.fetch(
            _BEAT, self.id, [claim.id for claim in held], self._host, os.getpid(), timeout=BEAT_S
        )
        ours = {row["id"] for row in rows}
        for claim in held:
            if claim.id in ours:
                claim.renewed = now
            elif claim.id in self._running:
                # Settled a moment ago, or another worker's: either way nothing more to do for it here.
                claim.give_up_lease()
        await asyncio.sleep(BEAT_S)

    async def _watch(self) -> None:
        """Apart from the heartbeat, which may hang: no job runs on after its lease may have ended."""
        await asyncio.sleep(WATCH_S)
        limit = time.monotonic() - (LEASE_S - MARGIN_S)
        for claim in self._running.values():
            if claim.renewed < limit and not claim.lost:
                log.warning("job %s %s: its lease can't be renewed", claim.kind.name, claim.job.id)
                claim.give_up_lease()

    async def _drain(self) -> None:
        tasks = [claim.task for claim in self._running.values() if claim.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=self._stop_s)
        await stop(*(task for task in tasks if not task.done()))

    async def _prune(self) -> None:
        await self._free_dead_neighbours()
        await self._pool.execute(_PRUNE)
        await asyncio.sleep(PRUNE_EVERY_S)

    async def _free_dead_neighbours(self) -> None:
        """Free at once what a worker of this machine held that was killed: its pid is gone."""
        if not self._host:
            return
        rows = await self._pool.fetch(_NEIGHBOURS, self._host)
        gone: list[UUID] = [row["id"] for row in rows if not _lives(row["pid"])]
        if gone:
            await self._pool.execute(_FREE_LEASES, gone)
            self._listener.rung.set()


def host() -> str:
    """One boot of one machine and one process namespace, or "" where that can't be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
