"""One effect per Idempotency-Key: repeated requests get the stored answer."""

from datetime import timedelta
from functools import partial
from pathlib import Path

from ragwork_hooks.auth import Directory
from ragwork_hooks.idempotency import IdempotencyStore
from ragwork_hooks.jobs import Schedule
from ragwork_hooks.operations import MaintenanceTask
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_idempotency.config import IdempotencyConfig
from ragwork_idempotency.store import DisabledIdempotency, PostgresIdempotencyStore, prune


class IdempotencyPlugin:
    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="idempotency",
            summary="one effect per Idempotency-Key, and its answer replayed",
            provides=(IdempotencyStore,),
            requires=(Directory,),
            # Without it keys would be taken and not honoured: repeats would do the work again.
            critical=True,
            config=IdempotencyConfig,
            explained={
                "IDEMPOTENCY_TTL_SECONDS": "it is the window of the copilot's service routes, which this release"
                " does not have; that of /v1 is IDEMPOTENCY_TTL_HOURS"
            },
            schema="idempotency",
            migrations=Path(__file__).parent / "migrations",
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[IdempotencyConfig]) -> Contribution:
        config, sweep = context.config, partial(prune, context.services)

        async def scheduled() -> None:
            await sweep()

        ttl = timedelta(hours=config.ttl_hours)
        return Contribution(
            capabilities={
                IdempotencyStore: PostgresIdempotencyStore(ttl) if config.enabled else DisabledIdempotency()
            },
            maintenance=(
                MaintenanceTask(name="prune_idempotency", run=sweep, keeps_days=-(-config.ttl_hours // 24)),
            ),
            schedules=(Schedule(name="idempotency.prune", cron="17 * * * *", run=scheduled),),
        )


plugin = IdempotencyPlugin()
