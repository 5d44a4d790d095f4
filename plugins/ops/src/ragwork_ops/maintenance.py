"""Chores that plugins registered, run by hand, and what is known of their last run."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from ragwork_hooks.audit import PLATFORM_TENANT
from ragwork_hooks.errors import Problem
from ragwork_hooks.operations import MaintenanceTask
from ragwork_hooks.services import Services

from ragwork_ops.schemas import MaintenanceRunResponse, RetentionStatusResponse

EVERYTHING: Final = "prune_retention_all"
_PRUNES: Final = "prune_"
_PRUNING: Final = ".prune"
#: Kinds that the wire contract always names; null where nothing removes them by age.
_KINDS: Final = ("audit", "usage", "ui_actions", "documents", "backups")

_NOTE = """INSERT INTO ops.maintenance_runs (task, last_run_at, status, deleted_rows) VALUES ($1, now(), $2, $3)
    ON CONFLICT (task) DO UPDATE SET last_run_at = excluded.last_run_at, status = excluded.status,
        deleted_rows = excluded.deleted_rows"""
_RUNS = "SELECT task, last_run_at FROM ops.maintenance_runs"


async def run(services: Services, name: str) -> MaintenanceRunResponse:
    """Run one task, or every pruning one. Raises ``Problem`` 422 naming the tasks there are."""
    tasks = {task.name: task for task in services.registry.maintenance}
    if name == EVERYTHING:
        chosen = [task for task in tasks.values() if task.name.startswith(_PRUNES)]
    elif name in tasks:
        chosen = [tasks[name]]
    else:
        raise _unknown(name, [*tasks, EVERYTHING])
    deleted = 0
    for task in chosen:
        deleted += await _run(services, task)
    return MaintenanceRunResponse(task=name, status="completed", deleted_rows=deleted)


async def status(services: Services, tenant_id: str) -> RetentionStatusResponse:
    """How long each kind of row is kept, and when it was last pruned by hand."""
    async with services.db.tenant(PLATFORM_TENANT, "read") as tx:
        rows = await tx.fetch(_RUNS)
    ran: Mapping[str, str] = {row["task"]: row["last_run_at"].isoformat() for row in rows}
    tasks = services.registry.maintenance
    return RetentionStatusResponse(
        tenant_id=tenant_id,
        configured_days=dict.fromkeys(_KINDS) | {_kind(task): task.keeps_days for task in tasks},
        last_run_by_task={task.name: ran.get(task.name) for task in tasks},
        next_schedule=", ".join(
            f"{schedule.name} at {schedule.cron}"
            for schedule in services.registry.schedules
            if schedule.name.endswith(_PRUNING)
        ),
    )


def _kind(task: MaintenanceTask) -> str:
    """What a task removes: ``prune_audit`` removes ``audit``."""
    return task.name.removeprefix(_PRUNES)


async def _run(services: Services, task: MaintenanceTask) -> int:
    try:
        deleted = await task.run()
    except Exception:
        await _note(services, task.name, "failed", 0)
        raise
    await _note(services, task.name, "succeeded", deleted)
    return deleted


async def _note(services: Services, name: str, outcome: str, deleted: int) -> None:
    async with services.db.tenant(PLATFORM_TENANT) as tx:
        await tx.execute(_NOTE, name, outcome, deleted)


def _unknown(name: str, known: list[str]) -> Problem:
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
    return Problem(
        "VALIDATION_ERROR",
        f"no enabled plugin has the task {name!r}; {hint}",
        details={"tasks": sorted(known)},
    )
