"""The state of the dependencies, always answered: what can't be asked is degraded, not an error."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import attrs
from ragwork_hooks.audit import PLATFORM_TENANT
from ragwork_hooks.jobs import ScheduleStatus, WorkerStatus
from ragwork_hooks.operations import HealthCheck
from ragwork_hooks.services import Services

from ragwork_ops.schemas import OpsHealthResponse, ScheduleHealth

_PATIENCE_S = 2.0
_DATABASE, _STATE = "postgres", "redis"
_OFF = "off"


@attrs.frozen(kw_only=True)
class Queue:
    """The queue of record: jobs that wait, who works them, and the jobs on a schedule. ``None`` and nothing
    while it can't be asked.
    """

    depth: int | None
    workers: Sequence[WorkerStatus] | None
    schedules: Sequence[ScheduleStatus]

    @property
    def heartbeat_age_s(self) -> float | None:
        """Of the freshest worker; ``None`` without any."""
        return round(self.workers[0].silent_s, 1) if self.workers else None


async def queue(services: Services) -> Queue:
    """Three round trips, bounded in time; never raises because the database is away."""
    try:
        async with asyncio.timeout(_PATIENCE_S), services.db.tenant(PLATFORM_TENANT, "read") as tx:
            depths = await services.jobs.depth(tx)
            return Queue(
                depth=sum(d.waiting for d in depths),
                workers=await services.jobs.workers(tx),
                schedules=await services.jobs.schedules(tx),
            )
    except Exception:
        services.metrics.count("ops_queue_unknown_total", "Health reads without the queue of record.")
        return Queue(depth=None, workers=None, schedules=())


async def report(services: Services, stale_after_s: float) -> OpsHealthResponse:
    """Every probe asked now, beside the queue."""
    probes = {probe.component: probe for probe in services.registry.probes}
    answers, seen = await asyncio.gather(
        asyncio.gather(*(_answers(probe) for probe in probes.values())), queue(services)
    )
    up = dict(zip(probes, answers, strict=True))
    age = seen.heartbeat_age_s
    working = age is not None and age <= stale_after_s and not any(s.reason for s in seen.schedules)
    return OpsHealthResponse(
        status="ok" if all(answers) and working else "degraded",
        api="ok",
        db=_word(up.get(_DATABASE, False)),
        # Without a shared store the state is in this process: nobody asked for more, and nothing is the worse.
        redis=_word(up[_STATE]) if _STATE in up else _OFF,
        worker_heartbeat_age_s=age,
        operability_worker_heartbeat_age_s=None,
        queue_depth=seen.depth,
        schedules=[_schedule(schedule) for schedule in seen.schedules],
        timestamp=services.clock.now().isoformat(),
    )


def last_seen(services: Services, seen: Queue) -> str | None:
    """When the freshest worker was heard of."""
    age = seen.heartbeat_age_s
    return None if age is None else (services.clock.now() - timedelta(seconds=age)).isoformat()


def _schedule(seen: ScheduleStatus) -> ScheduleHealth:
    return ScheduleHealth(
        name=seen.name,
        last_started_at=None if seen.started_at is None else seen.started_at.isoformat(),
        last_success_at=None if seen.succeeded_at is None else seen.succeeded_at.isoformat(),
        failure=seen.reason,
    )


async def _answers(probe: HealthCheck) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await probe.check()
    except Exception:
        return False
    return True


def _word(up: bool) -> str:
    return "ok" if up else "degraded"
