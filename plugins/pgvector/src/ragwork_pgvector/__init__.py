"""The local index and hybrid retriever in Postgres: BM25 and pgvector under the caller's rights."""

from pathlib import Path
from typing import Any

from ragwork_hooks.auth import Directory
from ragwork_hooks.jobs import Schedule
from ragwork_hooks.operations import MaintenanceTask
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl
from ragwork_hooks.retrieval import Index, PassageSource

from ragwork_pgvector.index import LocalIndex
from ragwork_pgvector.passage_source import LocalPassageSource
from ragwork_pgvector.reanalysis import Reanalysis
from ragwork_pgvector.vectors import register_codecs


class PgvectorPlugin:
    """Owns the schema ``pgvector`` and provides the capabilities ``Index`` and ``PassageSource``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="pgvector",
            summary="local hybrid index in Postgres (BM25 and pgvector)",
            provides=(Index, PassageSource),
            requires=(Directory,),
            schema="pgvector",
            migrations=Path(__file__).parent / "migrations",
            codecs=(register_codecs,),
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[Any]) -> Contribution:
        reanalysis = Reanalysis(context.services)

        async def scheduled() -> None:
            await reanalysis.run()

        return Contribution(
            capabilities={Index: LocalIndex(context.services.events), PassageSource: LocalPassageSource()},
            maintenance=(MaintenanceTask(name="reanalyse_index", run=reanalysis.run),),
            schedules=(Schedule(name="pgvector.reanalyse", cron="*/10 * * * *", run=scheduled),),
        )


plugin = PgvectorPlugin()
