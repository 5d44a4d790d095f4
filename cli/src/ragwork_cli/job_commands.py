"""``ragwork jobs list|why|retry``: what waits, what failed and why, and another try."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import attrs
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.commands import Option
from ragwork_hooks.errors import ConfigError
from ragwork_kernel.boot import infrastructure
from ragwork_kernel.boot import plugin_set as assemblies
from ragwork_kernel.work import queue

from ragwork_cli.console import TerminalConsole
from ragwork_cli.operator_records import OperatorRecords, operator

RETRIED = "jobs.retried"
STATES = ("queued", "running", "retrying", "succeeded", "dead")
LIST_OPTIONS = (
    Option(name="state", help="only jobs in this state", choices=STATES),
    Option(name="tenant", help="only jobs of this tenant", type="tenant"),
    Option(name="limit", help="how many at most", default="50", type="integer", minimum=1, maximum=1000),
)
ID_OPTIONS = (Option(name="job_id", help="a job's id", positional=True, required=True),)


async def list_jobs(options: dict[str, Any], data_dir: Path, console: TerminalConsole) -> int:
    """The latest jobs first."""
    async with _dispatcher(data_dir) as connection:
        rows = await queue.list_jobs(connection, options["state"], options["tenant"], options["limit"])
    columns = ("id", "kind", "state", "tenant_id", "attempt", "updated_at", "reason")
    console.table([attrs.asdict(row) for row in rows], columns, "no such jobs")
    return 0


async def why(options: dict[str, Any], data_dir: Path, console: TerminalConsole) -> int:
    """One job and the reason of its last failure."""
    async with _dispatcher(data_dir) as connection:
        report = await queue.why(connection, options["job_id"])
    if report is None:
        return _missing(options["job_id"], console)
    text = (
        f"{report.kind} of tenant {report.tenant_id} is {report.state} after {report.attempt} attempts\n"
        f"payload {report.payload}\nreason  {report.reason or 'none'}"
    )
    if report.state == "dead":
        text += f"\ntry again with `ragwork jobs retry {report.id}`"
    console.result(report, text)
    return 0


async def retry(options: dict[str, Any], data_dir: Path, console: TerminalConsole) -> int:
    """Queue a dead job again."""
    job_id = options["job_id"]
    async with _dispatcher(data_dir) as connection:
        report = await queue.why(connection, job_id)
    if report is None or not await _retried(data_dir, report):
        return _missing(job_id, console, "is not a dead job")
    console.result({"id": job_id, "state": "queued"}, f"{job_id} is queued again")
    return 0


async def _retried(data_dir: Path, report: queue.JobReport) -> bool:
    """Whether the job is queued again and the audit log of its tenant says so; both or neither."""
    from ragwork_kernel.boot.boot import boot  # a whole kernel: other commands don't wait for it

    async with boot(assemblies.read(), data_dir) as platform:
        record = OperatorRecords(log=platform.log, event=RETRIED, actor=operator(os.getuid()))
        async with platform.parts.db.tenant(report.tenant_id) as tx:
            if not await queue.retry(tx, report.id):
                return False
            note = AuditDetails(resource_type="job", resource_id=report.id, metadata={"kind": report.kind})
            await record(tx, note)
    return True


def _missing(job_id: str, console: TerminalConsole, what: str = "is not a known job") -> int:
    console.say(f"{job_id} {what}; `ragwork jobs list` shows them")
    return 1


@asynccontextmanager
async def _dispatcher(data_dir: Path) -> "AsyncIterator[asyncpg.Connection[Any]]":
    async with infrastructure.database(assemblies.read().kernel, data_dir) as urls:
        if urls.dispatcher is None:
            raise ConfigError(
                "DATABASE_DISPATCHER_URL", "is unset, so jobs can't be seen from here", "set it"
            )
        connection = await asyncpg.connect(urls.dispatcher)
        try:
            yield connection
        finally:
            await connection.close()
