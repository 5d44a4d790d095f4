"""Request quotas by day and month, and the ledger that other meters share."""

from pathlib import Path

from ragwork_hooks.audit import AuditLog
from ragwork_hooks.auth import Directory
from ragwork_hooks.jobs import PeriodicTask, Schedule
from ragwork_hooks.metering import Ledger, UsageReports
from ragwork_hooks.operations import MaintenanceTask
from ragwork_hooks.plans import Plans
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_quota.areas import AREAS
from ragwork_quota.charging import Charger
from ragwork_quota.config import QuotaConfig
from ragwork_quota.gate import PlanGate, QuotaGate
from ragwork_quota.leases import TICK_S, Leases
from ragwork_quota.ledger import QuotaLedger
from ragwork_quota.limits import LimitStore
from ragwork_quota.maintenance import QuotaMaintenance
from ragwork_quota.quota_events import QuotaEvents
from ragwork_quota.routes import QuotaAdminApi
from ragwork_quota.usage import UsageReader


class QuotaPlugin:
    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="quota",
            summary="Request quotas, their headers and events, and the ledger",
            provides=(Ledger, UsageReports),
            requires=(Directory,),
            optional=(Plans, AuditLog),
            after=("directory",),
            critical=True,
            config=QuotaConfig,
            schema="quota",
            migrations=Path(__file__).parent / "migrations",
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[QuotaConfig]) -> Contribution:
        services = context.services
        plans = services.use_optional(Plans)
        limits = LimitStore(plans)
        charger = Charger(limits, QuotaEvents(services.events, services.use_optional(AuditLog)))
        leases = Leases(services.db, charger, services.clock.monotonic)
        usage = UsageReader(limits, leases)
        ledger = QuotaLedger()
        upkeep = QuotaMaintenance(services.db, services.use(Directory), ledger, context.config.retention_days)
        gate = QuotaGate(charger, leases, services.metrics)

        async def prune() -> None:
            await upkeep.prune()

        return Contribution(
            areas=AREAS,
            routes=QuotaAdminApi(services, limits, leases, usage).routes(),
            admission_gates=(gate,) if plans is None else (PlanGate(limits), gate),
            tickers=(PeriodicTask(name="quota.leases", every_s=TICK_S, run=leases.tick),),
            schedules=(
                Schedule(name="quota.expire", cron="* * * * *", run=upkeep.expire),
                Schedule(name="quota.prune", cron="37 3 * * *", run=prune),
            ),
            maintenance=(
                MaintenanceTask(
                    name="prune_usage", run=upkeep.prune, keeps_days=context.config.retention_days
                ),
            ),
            capabilities={Ledger: ledger, UsageReports: usage},
            lifespan=leases.lifespan,
        )


plugin = QuotaPlugin()
