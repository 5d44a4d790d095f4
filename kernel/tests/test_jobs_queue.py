"""The queue: transactional, private to its tenant, fair, and honest about what became of a job."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from job_bench import Bench, Recorder, bench_on, kind, until
from ragwork_hooks.jobs import Job, PermanentFailure
from ragwork_kernel.base.error_answers import UNEXPECTED
from ragwork_kernel.work import queue
from ragwork_kernel.work.job_claims import TenantTurn, shared_out
from ragwork_kernel.work.worker import Worker
from ragwork_testkit.database import FreshDatabase


@pytest_asyncio.fixture
async def bench(database: FreshDatabase) -> AsyncIterator[Bench]:
    async with bench_on(database.app) as made:
        yield made


async def nothing(job: Job) -> None: ...


async def test_a_job_exists_only_when_its_transaction_commits(database: FreshDatabase, bench: Bench) -> None:
    ran: list[str] = []

    async def run(job: Job) -> None:
        ran.append(job.payload["n"])

    async with Worker(database.dispatcher, [kind(run)], [], Recorder()):
        with contextlib.suppress(ZeroDivisionError):
            async with bench.pool.tenant("t1") as tx:
                await bench.jobs.enqueue(tx, "k", {"n": "rolled back"})
                raise ZeroDivisionError
        job_id = await bench.enqueue("t1", n="committed")
        status = await bench.until("t1", job_id, "succeeded")
    assert ran == ["committed"]
    assert (status.attempt, status.reason, status.kind) == (1, None, "k")


async def test_an_idle_worker_starts_a_job_within_50_ms(database: FreshDatabase, bench: Bench) -> None:
    started: list[float] = []

    async def run(job: Job) -> None:
        started.append(time.monotonic())

    async with Worker(database.dispatcher, [kind(run)], [], Recorder()):
        await bench.until("t1", await bench.enqueue("t1"), "succeeded")
        delays = []
        for _ in range(10):
            await asyncio.sleep(0.05)
            job_id = await bench.enqueue("t1")
            committed = time.monotonic()
            await bench.until("t1", job_id, "succeeded")
            delays.append(started[-1] - committed)
    assert sorted(delays)[5] < 0.05, delays


async def test_enqueueing_needs_a_tenant_and_a_kind_that_somebody_runs(bench: Bench) -> None:
    async with bench.pool.anonymous() as tx:
        with pytest.raises(asyncpg.PostgresError, match=r"tenant|read-only"):
            await bench.jobs.enqueue(tx, "k", {})
    with pytest.raises(LookupError, match="unheard-of"):
        await bench.enqueue("t1", "unheard-of")


async def test_the_application_role_can_neither_write_nor_see_another_tenants_jobs(
    database: FreshDatabase, bench: Bench
) -> None:
    job_id = await bench.enqueue("t1")
    assert await bench.status("t1", job_id) is not None
    assert await bench.status("t2", job_id) is None
    assert await bench.status("t1", "not an id") is None
    async with bench.pool.tenant("t2", "read") as tx:
        assert await tx.fetchval("SELECT count(*) FROM ragwork.jobs") == 0
    for statement in (
        "INSERT INTO ragwork.jobs (tenant_id, entrypoint, payload, priority) VALUES ('t1', 'k', '{}', 9)",
        "UPDATE ragwork.jobs SET priority = 9",
        "DELETE FROM ragwork.jobs",
        "INSERT INTO ragwork.jobs_log VALUES (1, 'queued', 'k', 1)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with bench.pool.tenant("t1") as tx:
                await tx.execute(statement)


async def test_a_failure_is_tried_again_with_growing_delay_then_told_and_kept(
    database: FreshDatabase, bench: Bench
) -> None:
    starts: list[float] = []
    told: list[tuple[str, str]] = []

    async def run(job: Job) -> None:
        starts.append(time.monotonic())
        raise RuntimeError(f"attempt {job.attempt}\x00")

    async def dead(job: Job, reason: str) -> None:
        told.append((job.id, reason))

    recorder = Recorder()
    async with Worker(database.dispatcher, [kind(run, dead, backoff_s=0.2)], [], recorder):
        job_id = await bench.enqueue("t1", n="1")
        first = await bench.until("t1", job_id, "retrying")
        status = await bench.until("t1", job_id, "dead")
    assert first.next_attempt_at is not None
    assert first.reason == "unexpected failure: RuntimeError: attempt 1"
    assert status.reason == "unexpected failure: RuntimeError: attempt 3"
    assert (status.attempt, status.next_attempt_at) == (3, None)
    assert told == [(job_id, UNEXPECTED)]
    first_gap, second_gap = starts[1] - starts[0], starts[2] - starts[1]
    assert 0.15 <= first_gap < 0.35
    assert 0.30 <= second_gap < 0.60
    assert recorder.counts[("jobs_total", "k", "retried")] == 2
    assert recorder.counts[("jobs_total", "k", "dead")] == 1


async def test_giving_up_ends_a_job_at_its_first_attempt(database: FreshDatabase, bench: Bench) -> None:
    told: list[str] = []

    async def run(job: Job) -> None:
        raise PermanentFailure("the file is empty")

    async def dead(job: Job, reason: str) -> None:
        told.append(reason)

    async with Worker(database.dispatcher, [kind(run, dead)], [], Recorder()):
        status = await bench.until("t1", await bench.enqueue("t1"), "dead")
    assert (status.attempt, status.reason, told) == (1, "the file is empty", ["the file is empty"])


@pytest.mark.parametrize("way_out", [SystemExit(1), asyncio.CancelledError()], ids=["exit", "cancel"])
async def test_a_job_that_leaves_by_another_door_fails_like_any_other(
    database: FreshDatabase, bench: Bench, way_out: BaseException
) -> None:
    async def run(job: Job) -> None:
        raise way_out

    async def dead(job: Job, reason: str) -> None: ...

    async with Worker(database.dispatcher, [kind(run, dead)], [], Recorder()):
        status = await bench.until("t1", await bench.enqueue("t1"), "dead")
    assert status.attempt == 3


async def test_an_end_that_could_not_be_told_is_told_again(database: FreshDatabase, bench: Bench) -> None:
    tries: list[str] = []

    async def run(job: Job) -> None:
        raise RuntimeError("broken")

    async def dead(job: Job, reason: str) -> None:
        tries.append(reason)
        if len(tries) == 1:
            raise RuntimeError("the owner is away")

    async with Worker(database.dispatcher, [kind(run, dead, max_attempts=1)], [], Recorder()):
        status = await bench.until("t1", await bench.enqueue("t1"), "dead")
    assert tries == [UNEXPECTED] * 2
    assert status.reason == "unexpected failure: RuntimeError: broken"


async def test_the_operator_lists_explains_and_retries_a_dead_job(
    database: FreshDatabase, bench: Bench
) -> None:
    healthy = False

    async def run(job: Job) -> None:
        if not healthy:
            raise PermanentFailure("no disk")

    async def dead(job: Job, reason: str) -> None: ...

    connection = await asyncpg.connect(database.dispatcher)
    async with Worker(database.dispatcher, [kind(run, dead)], [], Recorder()):
        job_id = await bench.enqueue("t1", n="1")
        await bench.until("t1", job_id, "dead")
        await bench.enqueue("t2", "other")
        listed = await queue.list_jobs(connection, "dead")
        report = await queue.why(connection, job_id)
        assert listed == [report]
        assert report is not None
        assert (report.tenant_id, report.reason, report.payload) == ("t1", "no disk", '{"n": "1"}')
        assert len(await queue.list_jobs(connection)) == 2
        assert [j.kind for j in await queue.list_jobs(connection, tenant_id="t2")] == ["other"]
        tenant_jobs = queue.PostgresJobs(())
        async with bench.pool.anonymous() as tx:
            assert {d.kind: (d.waiting, d.dead) for d in await tenant_jobs.depth(tx)} == {
                "k": (0, 1),
                "other": (1, 0),
            }
            assert [w.silent_s < 5 for w in await tenant_jobs.workers(tx)] == [True]
        healthy = True
        async with bench.pool.tenant("t2") as tx:
            assert not await queue.retry(tx, job_id)
        async with bench.pool.tenant("t1") as tx:
            assert await queue.retry(tx, job_id)
        await bench.until("t1", job_id, "succeeded")
        async with bench.pool.tenant("t1") as tx:
            assert not await queue.retry(tx, job_id)
            assert not await queue.retry(tx, "nonsense")
        assert await queue.why(connection, "nonsense") is None
    async with bench.pool.anonymous() as tx:
        assert await tenant_jobs.workers(tx) == []
    await connection.close()


async def test_a_kind_never_runs_wider_than_its_concurrency_and_others_go_on(
    database: FreshDatabase, bench: Bench
) -> None:
    running, widest, others = 0, 0, 0
    release = asyncio.Event()

    async def run(job: Job) -> None:
        nonlocal running, widest
        running += 1
        widest = max(widest, running)
        await release.wait()
        running -= 1

    async def run_other(job: Job) -> None:
        nonlocal others
        others += 1

    other = kind(run_other, concurrency=1).__class__(
        name="other", run=run_other, on_dead=kind(run_other).on_dead, concurrency=1
    )
    async with Worker(database.dispatcher, [kind(run, concurrency=3), other], [], Recorder()):
        blocked = [await bench.enqueue("t1") for _ in range(9)]
        for _ in range(5):
            await bench.until("t1", await bench.enqueue("t1", "other"), "succeeded")
        assert (widest, others) == (3, 5)
        release.set()
        for job_id in blocked:
            await bench.until("t1", job_id, "succeeded")
    assert widest == 3


async def test_a_tenant_with_a_long_queue_does_not_delay_another_tenants_job(
    database: FreshDatabase, bench: Bench
) -> None:
    order: list[str] = []

    async def run(job: Job) -> None:
        order.append(job.tenant_id)
        await asyncio.sleep(0.02)

    async with bench.pool.tenant("noisy") as tx:
        for _ in range(300):
            await bench.jobs.enqueue(tx, "k", {})
    async with Worker(database.dispatcher, [kind(run, concurrency=2)], [], Recorder()):
        await until(lambda: len(order) >= 20)
        # One at a time: each may wait for a free place, never for the queue.
        for _ in range(3):
            before = len(order)
            await bench.until("quiet", await bench.enqueue("quiet"), "succeeded")
            assert "quiet" in order[before : before + 4]
        # A burst: the two tenants take turns.
        before = len(order)
        async with bench.pool.tenant("quiet") as tx:
            burst = [await bench.jobs.enqueue(tx, "k", {}) for _ in range(10)]
        await bench.until("quiet", burst[-1], "succeeded")
        assert order[before:].count("noisy") <= 10 + 6
        # Whoever has been quiet has no claim on the past: the noisy one still gets its turns.
        assert order[before:].count("noisy") >= 5


class Held:
    """Jobs that run until they are let go, by tenant."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self._gates: dict[str, list[asyncio.Event]] = {}

    async def run(self, job: Job) -> None:
        gate = asyncio.Event()
        self._gates.setdefault(job.tenant_id, []).append(gate)
        self.running.append(job.tenant_id)
        await gate.wait()
        self.running.remove(job.tenant_id)

    def let_go(self, tenant: str) -> None:
        self._gates[tenant].pop().set()


async def test_long_jobs_of_one_tenant_never_hold_every_place_of_several_workers(
    database: FreshDatabase, bench: Bench
) -> None:
    held = Held()
    kinds = [kind(held.run, concurrency=2)]
    async with (
        Worker(database.dispatcher, kinds, [], Recorder(), stop_s=0) as _,
        Worker(database.dispatcher, kinds, [], Recorder(), stop_s=0),
    ):
        for _ in range(12):
            await bench.enqueue("greedy")
        await until(lambda: len(held.running) == 4)
        for tenant in ("m1", "m2"):  # each worker has one more place for who holds none
            await bench.enqueue(tenant)
        await until(lambda: sorted(held.running) == ["greedy"] * 4 + ["m1", "m2"])
        # Now all are taken: a newcomer gets the first that comes free, before eight older jobs.
        await bench.enqueue("m3")
        await asyncio.sleep(0.1)
        assert len(held.running) == 6
        held.let_go("greedy")
        await until(lambda: sorted(held.running) == ["greedy"] * 3 + ["m1", "m2", "m3"])
        # Who holds fewest is next: the long queue waits for its own.
        await bench.enqueue("m1")
        held.let_go("m1")
        await until(lambda: held.running.count("m1") == 1 and len(held.running) == 6)


def test_places_are_shared_out_to_whoever_holds_fewest_then_to_whoever_came_first() -> None:
    def turn(tenant: str, held: int, here: int, priority: int, name: str = "k") -> TenantTurn:
        return TenantTurn(kind=name, tenant=tenant, held=held, here=here, priority=priority)

    alone = [turn("a", 0, 0, -1)]
    assert shared_out(alone, {"k": 3}, {"k": 4}) == {"a/k": 3}
    both = [turn("a", 2, 1, -1), turn("b", 0, 0, -9)]
    assert shared_out(both, {"k": 4}, {"k": 3}) == {"b/k": 2, "a/k": 1}
    even = [turn("b", 0, 0, -2), turn("a", 0, 0, -3)]
    assert list(shared_out(even, {"k": 9}, {"k": 1})) == ["b/k"]
    full = [turn("a", 3, 3, -1), turn("a", 0, 0, -1, "other")]
    assert shared_out(full, {"k": 3, "other": 1}, {"k": 1, "other": 2}) == {"a/other": 1}


async def test_parallel_enqueueing_buys_no_larger_share(database: FreshDatabase, bench: Bench) -> None:
    async def many() -> None:
        for _ in range(25):
            await bench.enqueue("noisy")

    await asyncio.gather(*(many() for _ in range(8)))
    for _ in range(10):
        await bench.enqueue("quiet")
    order: list[str] = []

    async def run(job: Job) -> None:
        order.append(job.tenant_id)

    async with Worker(database.dispatcher, [kind(run, concurrency=1)], [], Recorder()):
        await until(lambda: order.count("quiet") == 10, 20)
    assert order.count("noisy") <= 25, order


async def test_jobs_of_one_tenant_start_in_order(database: FreshDatabase, bench: Bench) -> None:
    seen: list[str] = []

    async def run(job: Job) -> None:
        seen.append(job.payload["n"])

    for n in range(30):
        await bench.enqueue("t1", n=str(n))
    async with Worker(database.dispatcher, [kind(run, concurrency=1)], [], Recorder()):
        await until(lambda: len(seen) == 30)
    assert seen == [str(n) for n in range(30)]


async def test_the_claim_uses_its_index_whatever_the_length_of_the_queue(
    database: FreshDatabase, bench: Bench
) -> None:
    owner = await asyncpg.connect(database.owner)
    await owner.execute(
        """SET ragwork.tenant = 'noisy';
           INSERT INTO ragwork.jobs (tenant_id, entrypoint, payload, priority)
           SELECT 'noisy', 'k', '{}', -n FROM generate_series(1, 20000) n;
           ANALYZE ragwork.jobs"""
    )
    await owner.close()
    started = time.monotonic()
    async with Worker(database.dispatcher, [kind(nothing)], [], Recorder()):
        await bench.until("quiet", await bench.enqueue("quiet"), "succeeded", within_s=2)
    assert time.monotonic() - started < 2
