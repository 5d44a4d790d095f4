"""What the audit log adds to a mutation: the same transaction with and without its record, 64 writers.

Run alone: ``.venv/bin/python tests/perf/audit.py``. It starts its own database in a temporary folder.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import ragwork_audit
from ragwork_audit.config import AuditConfig
from ragwork_audit.service import AuditService
from ragwork_hooks.audit import AuditEvent, Origin
from ragwork_kernel.data.db import Pool
from ragwork_kernel.data.migrations import KERNEL, Source
from ragwork_testkit.database import PostgresServer

WRITERS, EACH, CONNECTIONS = 64, 60, 20
AUDIT = Source(plugin="audit", schema="audit", folder=Path(ragwork_audit.__file__).parent / "migrations")


class Services:
    """What the log needs of a platform."""

    def __init__(self, db: Pool, data_dir: Path) -> None:
        self.db, self.data_dir, self.clock, self.metrics = db, data_dir, self, self

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def count(self, *_: str) -> None:
        raise AssertionError("nothing tampers with this log")


async def write(pool: Pool, keeper: AuditService | None, pause_s: float, times: list[float]) -> None:
    """A mutation's shape: one statement of work, the record if asked for, one commit; then a pause."""
    origin = Origin(request_id="r" * 32, echo_id="r" * 32, peer="10.0.0.1", user_agent="bench/1")
    event = AuditEvent(
        type="documents.deleted", outcome="success", actor_type="api_key", actor_id="k1", actor_role="admin",
        resource_type="document", resource_id="d1", metadata={"chunks": 12}, origin=origin,
    )  # fmt: skip
    for _ in range(EACH):
        await asyncio.sleep(random.random() * 2 * pause_s)
        began = time.perf_counter()
        async with pool.tenant("t1") as tx:
            await tx.execute("INSERT INTO public.work VALUES (1)")
            if keeper is not None:
                await keeper.log.append(tx, event)
        times.append(time.perf_counter() - began)


async def round_of(pool: Pool, keeper: AuditService | None, pause_s: float) -> tuple[list[float], float]:
    """Seconds of each transaction, and transactions per second."""
    times: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(*(write(pool, keeper, pause_s, times) for _ in range(WRITERS)))
    return times, WRITERS * EACH / (time.perf_counter() - began)


async def sealing(keeper: AuditService) -> None:
    while True:
        await asyncio.sleep(0.3)
        await keeper.tick()


def percentile(times: Sequence[float], share: float) -> float:
    return sorted(times)[int(len(times) * share)] * 1000


async def main(folder: Path) -> None:
    postgres = await PostgresServer.start(folder / "postgres")
    try:
        async with postgres.database([KERNEL, AUDIT]) as database:
            admin = await asyncpg.connect(database.admin)
            await admin.execute(
                "CREATE TABLE public.work (n int); GRANT INSERT ON public.work TO ragwork_app"
            )
            await admin.close()
            pool = await Pool.open(database.app, size=CONNECTIONS, statement_timeout_ms=20_000)
            services: Any = Services(pool, folder)
            keeper = AuditService(services, AuditConfig(), b"b" * 32)
            async with keeper.lifespan():
                sealer = asyncio.create_task(sealing(keeper))
                await round_of(pool, None, 0)
                for name, pause_s in (("paced", 64 / 300), ("as fast as it goes", 0.0)):
                    bare, without = await round_of(pool, None, pause_s)
                    audited, with_record = await round_of(pool, keeper, pause_s)
                    added = percentile(audited, 0.99) - percentile(bare, 0.99)
                    print(
                        f"{WRITERS} writers, {name}: {without:.0f}/s without, {with_record:.0f}/s with the record"
                    )
                    print(f"  p50 {percentile(bare, 0.5):.2f} → {percentile(audited, 0.5):.2f} ms", end=", ")
                    print(
                        f"p99 {percentile(bare, 0.99):.2f} → {percentile(audited, 0.99):.2f} ms: added {added:.2f} ms"
                    )
                sealer.cancel()
                await asyncio.gather(sealer, return_exceptions=True)
                began = time.perf_counter()
                await keeper.sealer.seal_marked()
                rest = time.perf_counter() - began
                began = time.perf_counter()
                (report,) = await keeper.verify(["t1"])
                took = time.perf_counter() - began
            await pool.close()
    finally:
        await postgres.server.stop()
    print(
        f"sealing what was left took {rest:.2f} s; "
        f"verify of {report.checked} records {took:.2f} s, valid {report.valid}"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(main(Path(name)))
