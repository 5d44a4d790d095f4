"""Shared by the job tests: a recorder of metrics, kinds with little code, a worker in another process."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import attrs
from ragwork_hooks.jobs import Job, JobKind, JobStatus
from ragwork_kernel.data.db import Pool
from ragwork_kernel.work.queue import PostgresJobs


class Recorder:
    """Counts what is counted."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, ...], int] = {}

    def count(self, name: str, help: str, **labels: str) -> None:
        key = (name, *labels.values())
        self.counts[key] = self.counts.get(key, 0) + 1

    def observe(self, name: str, help: str, seconds: float, **labels: str) -> None: ...
    def gauge(self, name: str, help: str, value: float, **labels: str) -> None: ...


@attrs.frozen
class Bench:
    """An application's side of the queue."""

    pool: Pool
    jobs: PostgresJobs

    async def enqueue(self, tenant: str, kind: str = "k", **payload: str) -> str:
        async with self.pool.tenant(tenant) as tx:
            return await self.jobs.enqueue(tx, kind, payload)

    async def status(self, tenant: str, job_id: str) -> JobStatus | None:
        async with self.pool.tenant(tenant, "read") as tx:
            return await self.jobs.status(tx, job_id)

    async def until(self, tenant: str, job_id: str, state: str, within_s: float = 10) -> JobStatus:
        async def poll() -> JobStatus:
            while True:
                status = await self.status(tenant, job_id)
                assert status is not None
                if status.state == state:
                    return status
                await asyncio.sleep(0.01)

        return await asyncio.wait_for(poll(), within_s)


@contextlib.asynccontextmanager
async def bench_on(dsn: str) -> AsyncIterator[Bench]:
    pool = await Pool.open(dsn, size=8, statement_timeout_ms=20_000)
    try:
        yield Bench(pool, PostgresJobs({"k", "other"}))
    finally:
        await pool.close()


async def unheard(job: Job, reason: str) -> None:
    """For jobs that are not expected to die."""
    raise AssertionError(f"{job} died: {reason}")


def kind(
    run: Callable[[Job], Awaitable[None]],
    dead: Callable[[Job, str], Awaitable[None]] = unheard,
    **settings: float,
) -> JobKind:
    return JobKind(
        name="k",
        run=run,
        on_dead=dead,
        max_attempts=int(settings.get("max_attempts", 3)),
        backoff_s=settings.get("backoff_s", 0.02),
        concurrency=int(settings.get("concurrency", 4)),
    )


#: Appends "start|end|dead <job> <attempt> <pid> <monotonic>" to a file; sleeps as long as the payload says.
SCRIPT = """
import asyncio, os, sys, time
from ragwork_hooks.jobs import JobKind
from ragwork_kernel.work.worker import Worker
sys.path.insert(0, sys.argv[3])
from job_bench import Recorder

def note(what, job):
    with open(sys.argv[2], "a") as file:
        file.write(f"{what} {job.id} {job.attempt} {os.getpid()} {time.monotonic()}\\n")

async def run(job):
    note("start", job)
    await asyncio.sleep(float(job.payload["s"]))
    note("end", job)

async def dead(job, reason):
    note("dead", job)

kind = JobKind(name="k", run=run, on_dead=dead, max_attempts=3, backoff_s=0.05, concurrency=4)
asyncio.run(Worker(sys.argv[1], [kind], [], Recorder()).run())
"""


@attrs.frozen
class OtherProcess:
    """A worker that can be killed."""

    process: "subprocess.Popen[bytes]"

    @classmethod
    def start(cls, dispatcher_dsn: str, journal: Path) -> "OtherProcess":
        here = str(Path(__file__).parent)
        return cls(
            subprocess.Popen(
                [sys.executable, "-c", SCRIPT, dispatcher_dsn, str(journal), here], env=_environment()
            )
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


def _environment() -> Mapping[str, str]:
    return dict(os.environ)


@attrs.frozen
class Line:
    what: str
    job: str
    attempt: int
    pid: int
    at: float


def read_journal(journal: Path) -> list[Line]:
    if not journal.exists():
        return []
    lines = []
    for line in journal.read_text().splitlines():
        what, job, attempt, pid, at = line.split()
        lines.append(Line(what, job, int(attempt), int(pid), float(at)))
    return lines


async def until(condition: Callable[[], bool], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
