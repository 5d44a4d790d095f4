"""What a queue is for: workers and servers die, no job is lost and none runs twice at once."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from job_bench import Bench, OtherProcess, Recorder, bench_on, kind, read_journal, until
from ragwork_hooks.jobs import Job
from ragwork_kernel.data import migrations
from ragwork_kernel.work import worker
from ragwork_kernel.work.worker import Worker
from ragwork_testkit.database import FreshDatabase, PostgresServer


@pytest_asyncio.fixture
async def bench(database: FreshDatabase) -> AsyncIterator[Bench]:
    async with bench_on(database.app) as made:
        yield made


async def test_after_kill_9_the_next_worker_of_the_machine_goes_on_at_once(
    database: FreshDatabase, bench: Bench, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    victim = OtherProcess.start(database.dispatcher, journal)
    ids = [await bench.enqueue("t1", s="0.3") for _ in range(8)]
    await until(lambda: len(read_journal(journal)) >= 4, 20)
    victim.kill()
    assert (await bench.status("t1", ids[-1])) is not None
    heir = OtherProcess.start(database.dispatcher, journal)
    killed = time.monotonic()
    statuses = [await bench.until("t1", job_id, "succeeded", 20) for job_id in ids]
    heir.kill()
    assert time.monotonic() - killed < 10
    lines = read_journal(journal)
    assert Counter(line.job for line in lines if line.what == "end") == dict.fromkeys(ids, 1)
    lost = {line.job for line in lines if line.what == "start" and line.attempt == 2}
    assert len(lost) == 4
    assert sum(status.attempt for status in statuses) == len(ids) + len(lost)


async def test_a_lease_without_heartbeat_is_taken_over(
    database: FreshDatabase, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way for another machine's worker: nothing is known of it but its silence."""
    # One scale for all: a lease shorter than its margin or its heartbeat is given up before the job is done.
    for name, seconds in {"LEASE_S": 2.0, "MARGIN_S": 0.3, "BEAT_S": 0.3, "POLL_S": 0.2}.items():
        monkeypatch.setattr(worker, name, seconds)
    journal = tmp_path / "journal"
    victim = OtherProcess.start(database.dispatcher, journal)
    job_id = await bench.enqueue("t1", s="0.5")
    await until(lambda: len(read_journal(journal)) == 1, 20)
    os.kill(victim.process.pid, signal.SIGSTOP)
    attempts: list[int] = []
    seen: list[str | None] = []

    async def run(job: Job) -> None:
        attempts.append(job.attempt)
        # The victim wakes up while the job is ours: its finish must change nothing.
        os.kill(victim.process.pid, signal.SIGCONT)
        await until(lambda: len(read_journal(journal)) == 2, 5)
        await asyncio.sleep(0.3)
        status = await bench.status("t1", job.id)
        seen.append(status.state if status else None)

    async with Worker(database.dispatcher, [kind(run)], [], Recorder()):
        status = await bench.until("t1", job_id, "succeeded", 10)
    victim.kill()
    assert (attempts, seen) == ([2], ["running"])
    assert status.attempt == 2


async def test_a_job_that_always_kills_its_worker_ends_dead(database: FreshDatabase, bench: Bench) -> None:
    told: list[str] = []

    async def run(job: Job) -> None:
        raise AssertionError("has no attempts left")

    async def dead(job: Job, reason: str) -> None:
        told.append(reason)

    job_id = await bench.enqueue("t1")
    connection = await asyncpg.connect(database.dispatcher)
    for _ in range(3):
        await connection.execute(
            """UPDATE ragwork.jobs SET status = 'picked', queue_manager_id = gen_random_uuid(),
               heartbeat = '-infinity'"""
        )
    await connection.close()
    async with Worker(database.dispatcher, [kind(run, dead, max_attempts=3)], [], Recorder()):
        status = await bench.until("t1", job_id, "dead")
    assert told == [status.reason] == ["the worker was lost during attempt 3"]


def one_at_a_time(done: Counter[str], takes_s: float) -> Callable[[Job], Awaitable[None]]:
    """Work that counts in ``done`` how often each job was done; no job may run twice at once."""
    active: set[str] = set()

    async def run(job: Job) -> None:
        assert job.id not in active
        active.add(job.id)
        await asyncio.sleep(takes_s)
        active.remove(job.id)
        done[job.id] += 1

    return run


async def test_many_workers_never_run_one_job_at_once(database: FreshDatabase, bench: Bench) -> None:
    done: Counter[str] = Counter()
    run = one_at_a_time(done, 0.005)
    workers = [Worker(database.dispatcher, [kind(run)], [], Recorder()) for _ in range(5)]
    for one in workers:
        await one.__aenter__()
    ids = [job for part in [await _some(bench, f"t{n}", 40) for n in range(5)] for job in part]
    await until(lambda: len(done) == 200, 30)
    for one in workers:
        await one.__aexit__(None, None, None)
    assert done == dict.fromkeys(ids, 1)


async def _some(bench: Bench, tenant: str, count: int) -> list[str]:
    async with bench.pool.tenant(tenant) as tx:
        return [await bench.jobs.enqueue(tx, "k", {}) for _ in range(count)]


async def test_stopping_finishes_what_it_can_and_gives_the_rest_back(
    database: FreshDatabase, bench: Bench
) -> None:
    started: list[str] = []
    cancelled: list[str] = []

    async def run(job: Job) -> None:
        started.append(job.id)
        try:
            await asyncio.sleep(float(job.payload["s"]))
        except asyncio.CancelledError:
            cancelled.append(job.id)
            raise

    short, long = await bench.enqueue("t1", s="0.2"), await bench.enqueue("t1", s="60")
    async with Worker(database.dispatcher, [kind(run)], [], Recorder(), stop_s=0.5):
        await until(lambda: len(started) == 2)
        leaving = time.monotonic()
    assert time.monotonic() - leaving < 3
    assert cancelled == [long]
    first, second = await bench.status("t1", short), await bench.status("t1", long)
    assert first is not None
    assert first.state == "succeeded"
    assert second is not None
    assert (second.state, second.attempt) == ("queued", 0)


async def test_a_worker_that_cannot_renew_stops_its_jobs_before_another_may_claim(
    database: FreshDatabase, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LEASE_S", 1.5)
    monkeypatch.setattr(worker, "MARGIN_S", 0.5)
    monkeypatch.setattr(worker, "WATCH_S", 0.1)
    monkeypatch.setattr(worker, "_BEAT", "SELECT id FROM ragwork.unheard_of")
    ended: list[float] = []

    async def run(job: Job) -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(time.monotonic())

    await bench.enqueue("t1")
    async with Worker(database.dispatcher, [kind(run)], [], Recorder(), stop_s=0):
        begun = time.monotonic()
        await until(lambda: bool(ended), 3)
    assert ended[0] - begun < 1.5


async def test_a_restart_of_the_database_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in {"LEASE_S": 5.0, "MARGIN_S": 1.0, "BEAT_S": 0.5, "POLL_S": 0.5}.items():
        monkeypatch.setattr(worker, name, seconds)
    server = await PostgresServer.start(tmp_path)
    done: Counter[str] = Counter()
    run = one_at_a_time(done, 0.05)
    async with server.database([migrations.KERNEL]) as database, bench_on(database.app) as bench:
        async with Worker(database.dispatcher, [kind(run)], [], Recorder()):
            ids = await _some(bench, "t1", 60)
            await until(lambda: len(done) >= 10)
            os.kill(_postmaster(tmp_path), signal.SIGQUIT)
            await asyncio.sleep(0.3)
            assert await server.server.start() == server.admin
            for job_id in ids:
                await bench.until("t1", job_id, "succeeded", 40)
            late = await bench.enqueue("t1")
            await bench.until("t1", late, "succeeded", 5)
    await server.server.stop()
    assert done == dict.fromkeys([*ids, late], 1)


def _postmaster(folder: Path) -> int:
    return int(next(folder.rglob("postmaster.pid")).read_text().splitlines()[0])
