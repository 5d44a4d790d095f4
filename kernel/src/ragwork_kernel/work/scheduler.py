"""Cron: a task per tick, once over all workers, on the database's clock."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg
from croniter import croniter
from ragwork_hooks.jobs import Schedule
from ragwork_hooks.redaction import Redactor

from ragwork_kernel.base.resilient_loops import stop

LONGEST_SLEEP_S = 30.0
_FIRST = """INSERT INTO ragwork.schedules (name, tick)
    SELECT * FROM unnest($1::text[], $2::timestamptz[]) ON CONFLICT (name) DO NOTHING"""
# Of all workers that see the tick, the one whose update finds an older tick runs it.
_CLAIM = """UPDATE ragwork.schedules SET tick = $2, started_at = now()
    WHERE name = $1 AND tick < $2 RETURNING 1"""
_SUCCEEDED = "UPDATE ragwork.schedules SET succeeded_at = now(), reason = NULL WHERE name = $1"
_FAILED = "UPDATE ragwork.schedules SET reason = $2 WHERE name = $1"

log = logging.getLogger(__name__)


class Scheduler:
    """Runs ``schedules`` for one worker. Ticks missed while no worker ran are made up for by one run;
    a schedule that is new to the database waits for its next tick.
    """

    def __init__(self, pool: "asyncpg.Pool[Any]", schedules: Sequence[Schedule], redactor: Redactor) -> None:
        self._redactor = redactor
        for schedule in schedules:
            if not croniter.is_valid(schedule.cron):
                raise ValueError(f"schedule {schedule.name}: {schedule.cron!r} is not a cron expression")
        self._pool = pool
        self._schedules = schedules
        self._running: dict[str, asyncio.Task[None]] = {}
        self._known = False

    async def step(self) -> None:
        """Start what is due, then sleep until the next tick."""
        now = await self._pool.fetchval("SELECT now()")
        if not self._known:
            ticks = [_latest(s.cron, now) for s in self._schedules]
            await self._pool.execute(_FIRST, [s.name for s in self._schedules], ticks)
            self._known = True
        for schedule in self._schedules:
            # A run that is still going swallows the ticks it overlaps, rather than piling up.
            if schedule.name not in self._running:
                await self._start_if_due(schedule, now)
        upcoming = min((croniter(s.cron, now).get_next(datetime) for s in self._schedules), default=None)
        wait_s = LONGEST_SLEEP_S if upcoming is None else (upcoming - now).total_seconds()
        await asyncio.sleep(min(wait_s, LONGEST_SLEEP_S) + 0.01)

    async def _start_if_due(self, schedule: Schedule, now: datetime) -> None:
        if await self._pool.fetchval(_CLAIM, schedule.name, _latest(schedule.cron, now)):
            task = asyncio.create_task(self._run(schedule), name=f"schedule {schedule.name}")
            self._running[schedule.name] = task
            task.add_done_callback(lambda _: self._running.pop(schedule.name))

    async def _run(self, schedule: Schedule) -> None:
        try:
            await schedule.run()
        except Exception as error:
            log.exception("schedule %s failed", schedule.name)
            reason = self._redactor.text(f"{type(error).__name__}: {error}")
            await self._pool.execute(_FAILED, schedule.name, reason[:500])
        else:
            await self._pool.execute(_SUCCEEDED, schedule.name)

    async def finish(self, within_s: float) -> None:
        """Wait for what runs, then cancel it."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=within_s)
        await stop(*self._running.values())


def _latest(cron: str, now: datetime) -> datetime:
    """The last tick at or before ``now``."""
    tick: datetime = croniter(cron, now + timedelta(microseconds=1)).get_prev(datetime)
    return tick
