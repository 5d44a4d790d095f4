"""The tamper-evident audit log: appended with the act, sealed within a second, verifiable by anybody with the key."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ragwork_hooks.audit import AuditLog
from ragwork_hooks.commands import Command, OfflineCommand
from ragwork_hooks.jobs import PeriodicTask, Schedule
from ragwork_hooks.operations import HealthCheck, MaintenanceTask
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_audit.areas import AREAS
from ragwork_audit.commands import commands
from ragwork_audit.config import AuditConfig
from ragwork_audit.routes import AuditApi
from ragwork_audit.service import AuditService

_SIGNING_KEY: Final = "AUDIT_SIGNING_KEY"


class AuditPlugin:
    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="audit",
            summary="the tamper-evident audit log: sealed, signed, anchored, verifiable offline",
            provides=(AuditLog, AuditService),
            critical=True,
            config=AuditConfig,
            secrets=(_SIGNING_KEY,),
            schema="audit",
            migrations=Path(__file__).parent / "migrations",
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[AuditConfig]) -> Contribution:
        services = context.services
        service = AuditService(services, context.config, services.secrets.key(_SIGNING_KEY))

        async def prune() -> None:
            await service.pruning.run()

        return Contribution(
            areas=AREAS,
            routes=AuditApi(service.signer).routes(),
            tickers=(
                PeriodicTask(name="audit.seal", every_s=0.3, run=service.tick),
                PeriodicTask(name="audit.sweep", every_s=5.0, run=service.sealer.sweep),
            ),
            schedules=(
                Schedule(name="audit.verify", cron="17 3 * * *", run=service.verify_all),
                Schedule(name="audit.prune", cron="47 3 * * *", run=prune),
            ),
            probes=(HealthCheck(component="audit", check=service.probe),),
            maintenance=(
                MaintenanceTask(
                    name="prune_audit", run=service.pruning.run, keeps_days=context.config.retention_days
                ),
            ),
            capabilities={AuditLog: service.log, AuditService: service},
            lifespan=service.lifespan,
        )

    @hookimpl
    def ragwork_commands(self) -> Sequence[Command | OfflineCommand]:
        return commands()


plugin = AuditPlugin()
