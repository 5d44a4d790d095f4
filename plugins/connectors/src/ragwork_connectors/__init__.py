"""Plugin ``connectors``: corpora kept in step with files elsewhere, by providers of kind ``connector``."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ragwork_hooks.audit import AuditLog
from ragwork_hooks.commands import Command
from ragwork_hooks.connectors import CONNECTOR
from ragwork_hooks.documents import DocumentIntake
from ragwork_hooks.jobs import Schedule
from ragwork_hooks.operations import Advisor
from ragwork_hooks.parsing import DocumentParsing
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl
from ragwork_toolkit.tenants import for_each_tenant

from ragwork_connectors import commands, source_store
from ragwork_connectors.source_advice import source_advice
from ragwork_connectors.sync_job import SyncJobs


class ConnectorsPlugin:
    """Declares the kind ``connector``, syncs sources, and brings the connector ``folder``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="connectors",
            summary="Corpora kept in step with folders and stores: scheduled, with deletes and renames",
            kinds=(CONNECTOR,),
            requires=(DocumentIntake, DocumentParsing),
            optional=(AuditLog,),
            schema="connectors",
            migrations=Path(__file__).parent / "migrations",
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[None]) -> Contribution:
        services = context.services
        syncs = SyncJobs(services, services.use(DocumentIntake), services.use_optional(AuditLog))

        async def enqueue_due() -> None:
            names = await source_store.all_sources(services)
            due = sorted({source.tenant_id for source in names if source.is_due})
            swept = await for_each_tenant(services.db, due, partial(source_store.enqueue_due, services))
            swept.complete()

        return Contribution(
            jobs=(syncs.kind(),),
            schedules=(Schedule(name="connectors.due", cron="* * * * *", run=enqueue_due),),
            advisors=(Advisor(name="sources", advise=partial(source_advice, services)),),
        )

    @hookimpl
    def ragwork_commands(self) -> Sequence[Command]:
        return commands.COMMANDS


plugin = ConnectorsPlugin()
