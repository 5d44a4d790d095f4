"""One question to several corpora at once; whoever fails does not take the others along."""

import asyncio
from collections.abc import Sequence

import attrs
from ragwork_hooks.authz import ReadScope
from ragwork_hooks.documents import CorpusPassage, PreparedSearch, SearchAnswers
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.provider_kinds import RETRIEVAL
from ragwork_hooks.retrieval import Passage, PreparedQuery, Query
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction

from ragwork_documents.search.rank_fusion import merge
from ragwork_documents.search.second_ranking import SecondRanking


@attrs.frozen(kw_only=True)
class PreparedCorpus:
    """Implements ``ragwork_hooks.documents.PreparedSearch``. ``outcomes`` are in the order asked."""

    outcomes: Sequence[tuple[Query, PreparedQuery | ProviderError]]
    second: SecondRanking

    async def read(self, tx: Transaction, scope: ReadScope) -> SearchAnswers:
        """Each corpus' passages, all of them within the one snapshot of ``tx``."""
        found: list[tuple[str, Sequence[Passage]]] = []
        failed: list[tuple[str, ProviderError]] = []
        for query, outcome in self.outcomes:
            if isinstance(outcome, ProviderError):
                failed.append((query.corpus_id, outcome))
                continue
            try:
                passages = await outcome.passages(tx, scope)
            except ProviderError as error:
                failed.append((query.corpus_id, error))
            else:
                found.append((query.corpus_id, _folded(passages, query.min_score)))
        if not found:
            raise failed[0][1]
        return SearchAnswers(found=found, failed=failed)

    async def rerank(self, answers: SearchAnswers) -> SearchAnswers:
        """See ``PreparedSearch``. All corpora at once."""
        queries = {query.corpus_id: query for query, _ in self.outcomes}
        ranked = await asyncio.gather(
            *(self.second.rank(queries[corpus_id], passages) for corpus_id, passages in answers.found)
        )
        ids = [corpus_id for corpus_id, _ in answers.found]
        return attrs.evolve(
            answers,
            found=[(corpus_id, each.passages) for corpus_id, each in zip(ids, ranked, strict=True)],
            not_reranked=[
                (corpus_id, each.error) for corpus_id, each in zip(ids, ranked, strict=True) if each.error
            ],
        )


class MultiCorpusSearch:
    """Implements ``ragwork_hooks.documents.CorpusSearch``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._second = SecondRanking(services)

    async def prepare(self, tenant_id: str, asked: Sequence[tuple[str, Query]]) -> PreparedSearch:
        """See ``CorpusSearch``."""
        answers = await asyncio.gather(
            *(self._prepare(tenant_id, name, query) for name, query in asked), return_exceptions=True
        )
        outcomes = [(query, _checked(answer)) for (_, query), answer in zip(asked, answers, strict=True)]
        failed = [outcome for _, outcome in outcomes if isinstance(outcome, ProviderError)]
        if len(failed) == len(outcomes):
            raise failed[0]
        return PreparedCorpus(outcomes=outcomes, second=self._second)

    async def rank(
        self, question: str, answers: SearchAnswers, top_k: int, *, distinct: bool = False
    ) -> Sequence[CorpusPassage]:
        """See ``CorpusSearch``. Off the event loop: the texts may be long."""
        return await asyncio.to_thread(merge, question, answers.found, top_k, distinct=distinct)

    async def _prepare(self, tenant_id: str, name: str, query: Query) -> PreparedQuery:
        retriever = await self._services.providers.open(RETRIEVAL, name)
        if query.reranking is not None:
            candidates = max(query.top_k, query.reranking.top_n)
            query = attrs.evolve(query, top_k=candidates, reranking=None)
        return await retriever.prepare(tenant_id, query)


def _folded(passages: Sequence[Passage], min_score: float) -> Sequence[Passage]:
    """Those that fit well enough, the best of several with the same text."""
    by_text: dict[str, Passage] = {}
    for passage in passages:
        relevance = passage.score if passage.relevance is None else passage.relevance
        if relevance >= min_score:
            by_text.setdefault(passage.text, passage)
    return list(by_text.values())


def _checked(answer: PreparedQuery | BaseException) -> PreparedQuery | ProviderError:
    """Only a typed error is a provider's answer; anything else is a fault of ours."""
    if isinstance(answer, BaseException) and not isinstance(answer, ProviderError):
        raise answer
    return answer
