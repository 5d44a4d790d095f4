"""Schedules run once per tick, whatever the number of workers and their clocks."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import asyncpg
import pytest
from job_bench import Recorder, until
from ragwork_hooks.jobs import Schedule
from ragwork_kernel.work.scheduler import _latest
from ragwork_kernel.work.worker import Worker
from ragwork_testkit.database import FreshDatabase


async def test_three_workers_run_a_tick_once(database: FreshDatabase) -> None:
    ticks: list[datetime] = []

    async def run() -> None:
        ticks.append(datetime.now(UTC).replace(microsecond=0))

    async with AsyncExitStack() as stack:
        for _ in range(3):
            schedule = Schedule(name="sweep", cron="* * * * * *", run=run)
            await stack.enter_async_context(Worker(database.dispatcher, [], [schedule], Recorder()))
        await until(lambda: len(ticks) >= 3, 8)
    assert len(set(ticks)) == len(ticks)
    connection = await asyncpg.connect(database.dispatcher)
    row = await connection.fetchrow("SELECT * FROM ragwork.schedules")
    await connection.close()
    assert row is not None
    assert row["succeeded_at"] >= row["started_at"]
    assert row["reason"] is None


async def test_a_failing_schedule_leaves_its_reason_and_runs_at_the_next_tick(
    database: FreshDatabase,
) -> None:
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        raise RuntimeError("full")

    async with Worker(database.dispatcher, [], [Schedule(name="s", cron="* * * * * *", run=run)], Recorder()):
        await until(lambda: runs >= 2, 8)
        await asyncio.sleep(0.1)
    connection = await asyncpg.connect(database.dispatcher)
    assert await connection.fetchval("SELECT reason FROM ragwork.schedules") == "RuntimeError: full"
    assert await connection.fetchval("SELECT succeeded_at FROM ragwork.schedules") is None
    await connection.close()


async def test_a_nightly_schedule_does_not_run_when_it_is_first_seen_but_makes_up_for_a_missed_tick(
    database: FreshDatabase,
) -> None:
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1

    schedule = Schedule(name="nightly", cron="0 3 * * *", run=run)
    connection = await asyncpg.connect(database.dispatcher)
    async with Worker(database.dispatcher, [], [schedule], Recorder()):
        await asyncio.sleep(0.5)
    assert runs == 0
    seen = await connection.execute("UPDATE ragwork.schedules SET tick = tick - interval '3 days'")
    assert seen == "UPDATE 1"
    async with Worker(database.dispatcher, [], [schedule], Recorder()):
        await until(lambda: runs == 1)
    await connection.close()
    assert runs == 1


def test_the_latest_tick_includes_the_present_moment() -> None:
    on_time = datetime(2026, 5, 4, 3, 0, tzinfo=UTC)
    assert _latest("0 3 * * *", on_time) == on_time
    assert _latest("0 3 * * *", on_time.replace(minute=59)) == on_time
    assert _latest("0 3 * * *", on_time.replace(hour=2)) == on_time.replace(day=3)


def test_a_bad_cron_expression_is_refused_by_name(database: FreshDatabase) -> None:
    async def run() -> None: ...

    async def start() -> None:
        async with Worker(database.dispatcher, [], [Schedule(name="x", cron="often", run=run)], Recorder()):
            pass

    with pytest.raises(ValueError, match="schedule x: 'often'"):
        asyncio.run(start())
