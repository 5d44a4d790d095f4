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
from ragwork_pgvector.statistics import CACHE_TTL_S, CorpusCounting, KnownStatistics
from ragwork_pgvector.vectors import register_codecs


class PgvectorPlugin:
    """Owns the schema ``pgvector`` and provides the capabilities ``Index`` and ``PassageSource``, and to its own
    retriever what it keeps of each corpus.
    """

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="pgvector",
            summary="local hybrid index in Postgres (BM25 and pgvector)",
            provides=(Index, PassageSource, KnownStatistics),
            requires=(Directory,),
            schema="pgvector",
            migrations=Path(__file__).parent / "migrations",
            codecs=(register_codecs,),
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[Any]) -> Contribution:
        reanalysis = Reanalysis(context.services)

        counting = CorpusCounting(context.services)

        async def reanalyse() -> None:
            await reanalysis.run()

        async def count() -> None:
            await counting.run()

        return Contribution(
            capabilities={
                Index: LocalIndex(context.services.events),
                PassageSource: LocalPassageSource(),
                KnownStatistics: KnownStatistics(
                    context.services.db,
                    context.services.caches.cache("pgvector.statistics", ttl_s=CACHE_TTL_S),
                ),
            },
            maintenance=(
                MaintenanceTask(name="reanalyse_index", run=reanalysis.run),
                MaintenanceTask(name="count_corpora", run=counting.run),
            ),
            schedules=(
                Schedule(name="pgvector.reanalyse", cron="*/10 * * * *", run=reanalyse),
                Schedule(name="pgvector.count", cron="* * * * *", run=count),
            ),
        )


plugin = PgvectorPlugin()
