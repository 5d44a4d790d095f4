"""The provider ``local_pgvector``: embeds the question, then ranks in the caller's transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import attrs
from ragwork_hooks.authz import ReadScope
from ragwork_hooks.provider_kinds import EMBEDDING
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.retrieval import Embedder, Passage, Query, Retriever
from ragwork_hooks.storage import Transaction

from ragwork_pgvector.broad_ranking import broad_ranking
from ragwork_pgvector.config import DEFAULT_LEXICAL_WEIGHT, CorpusOptions
from ragwork_pgvector.passage_source import passage
from ragwork_pgvector.question import Question
from ragwork_pgvector.ranking import ranking
from ragwork_pgvector.statistics import CorpusStatistics, KnownStatistics, StatisticsSource
from ragwork_pgvector.terms import QuestionTerms
from ragwork_pgvector.vectors import VectorTable, packed, table_of


@attrs.frozen
class PreparedRanking:
    """A question with its vector; all that is left is one statement, two where too little is found by the first."""

    question: Question
    table: VectorTable
    statistics: CorpusStatistics

    async def passages(self, tx: Transaction, scope: ReadScope) -> Sequence[Passage]:
        """At most ``top_k`` passages within ``scope``, best first."""
        if self.statistics.is_broad(self.question, self.table, scope):
            sql, arguments = broad_ranking(self.question, self.statistics.analysers, self.table, scope)
            rows = await tx.fetch(sql, *arguments)
            if len(rows) == self.question.top_k:
                return [passage(row) for row in rows]
        sql, arguments = ranking(self.question, self.table, scope)
        return [passage(row) for row in await tx.fetch(sql, *arguments)]


@attrs.frozen
class LocalRetriever:
    """Hybrid retrieval over the index in the caller's own database."""

    embedder: Callable[[str], Awaitable[Embedder]]
    statistics: StatisticsSource

    @property
    def transactional(self) -> bool:
        """The index is written and read in the caller's transaction."""
        return True

    async def prepare(self, tenant_id: str, query: Query) -> PreparedRanking:
        """Embed the question. Raises what the embedder raises."""
        embedder = await self.embedder(query.embedder)
        (vector,) = await embedder.embed([query.text], "query")
        question = Question(
            corpus_id=query.corpus_id,
            terms=QuestionTerms.of(query.text.replace("\x00", " ")),
            vector=packed(vector),
            dimension=len(vector),
            embedder=query.embedder,
            languages=embedder.languages,
            unrelated_cosine=embedder.unrelated_cosine,
            top_k=query.top_k,
            lexical_weight=_lexical_weight(query.options),
            filter=query.filter,
            distinct=query.distinct,
        )
        known = await self.statistics(tenant_id, query.corpus_id)
        return PreparedRanking(question, table_of(len(vector)), known)


def _lexical_weight(options: Mapping[str, object]) -> float:
    weight = options.get("lexical_weight", DEFAULT_LEXICAL_WEIGHT)
    if not isinstance(weight, int | float):
        raise TypeError("lexical_weight must be a number")
    return CorpusOptions(lexical_weight=weight).lexical_weight


async def _open(context: ProviderContext[Any]) -> Retriever:
    await asyncio.to_thread(QuestionTerms.of, "")  # imports what analyses
    services = context.services

    async def statistics(tenant_id: str, corpus_id: str) -> CorpusStatistics:
        return await services.use(KnownStatistics).of(tenant_id, corpus_id)

    return LocalRetriever(embedder=partial(services.providers.open, EMBEDDING), statistics=statistics)


provider: Provider[Retriever] = Provider(name="local_pgvector", open=_open, options=CorpusOptions)
