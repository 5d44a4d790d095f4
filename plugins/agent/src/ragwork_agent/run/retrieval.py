"""The retrieval of one run: prepared outside the transaction, read inside it under the caller's rights."""

from collections.abc import Sequence

import attrs
from ragwork_hooks.admission import ServiceLimits
from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import Action
from ragwork_hooks.documents import Corpus, CorpusPassage, PreparedSearch, SearchAnswers
from ragwork_hooks.retrieval import Passage
from ragwork_hooks.storage import Transaction

from ragwork_agent.run.history import admissible
from ragwork_agent.run.runtime import AgentRuntime
from ragwork_agent.schemas import RunFailedCorpus, RunNotReranked
from ragwork_agent.sessions.session_store import PastMessage

READ = Action(name="document.read")


@attrs.frozen(kw_only=True)
class RetrievedContext:
    """What an answer may stand on, the corpora that could not say what they have, and those that were not reranked."""

    found: Sequence[CorpusPassage] = ()
    history: Sequence[PastMessage] = ()
    failed: Sequence[RunFailedCorpus] = ()
    not_reranked: Sequence[RunNotReranked] = ()

    @property
    def passages(self) -> Sequence[Passage]:
        """Without their corpora."""
        return [found.passage for found in self.found]

    @property
    def sources(self) -> frozenset[str]:
        """Every document whose text an answer may carry, by a passage or by the history."""
        found = frozenset(found.passage.document_id for found in self.found)
        return found.union(*(past.sources for past in self.history))


@attrs.frozen(kw_only=True)
class UnrankedAnswers:
    """What the corpora and the session gave, not ranked yet."""

    answers: SearchAnswers
    history: Sequence[PastMessage]


@attrs.frozen(kw_only=True)
class Retrieval:
    """A question ready to be read from its corpora. ``providers`` are their retrievers, each once."""

    runtime: AgentRuntime
    principal: Principal
    text: str
    top_k: int
    several: bool
    providers: Sequence[str]
    prepared: PreparedSearch

    async def read(self, tx: Transaction, history: Sequence[PastMessage]) -> UnrankedAnswers:
        """Passages and history that the principal may read now: one round trip for each local corpus, and one
        for cited history. Raises ``ProviderError`` when no corpus can answer.
        """
        past = await admissible(tx, self.runtime.catalog, self.principal, history)
        scope = await self.runtime.services.read_scope(self.principal, READ)
        return UnrankedAnswers(answers=await self.prepared.read(tx, scope), history=past)

    async def ranked(self, reading: UnrankedAnswers) -> RetrievedContext:
        """One corpus' passages as it and its reranker order them, several corpora's as one ranking."""
        answers = await self.prepared.rerank(reading.answers)
        if self.several:
            found = await self.runtime.search.rank(self.text, answers, self.top_k)
        else:
            found = [
                CorpusPassage(corpus_id=name, passage=p) for name, passages in answers.found for p in passages
            ]
        failed = [
            RunFailedCorpus(corpus_id=corpus_id, code=error.code) for corpus_id, error in answers.failed
        ]
        not_reranked = [
            RunNotReranked(corpus_id=corpus_id, code=error.code) for corpus_id, error in answers.not_reranked
        ]
        return RetrievedContext(
            found=found, history=reading.history, failed=failed, not_reranked=not_reranked
        )


async def prepare(
    runtime: AgentRuntime,
    principal: Principal,
    corpora: Sequence[Corpus],
    text: str,
    *,
    top_k: int,
    min_score: float | None,
    degrade: ServiceLimits,
) -> Retrieval:
    """Embed or ask the remote engines, all at once. ``min_score`` is the corpus' own where it is ``None``. Raises
    ``ProviderError`` when none can answer.
    """
    top_k = top_k if degrade.top_k is None else min(top_k, degrade.top_k)
    scope = await runtime.services.read_scope(principal, READ)
    asked = []
    for corpus in corpora:
        provider = _provider(corpus, degrade)
        query = corpus.query(text, top_k, scope, min_score)
        if provider != corpus.retriever:
            # Another provider's options mean nothing to the one that stands in.
            query = attrs.evolve(query, options={}, fallback=(), shadow=None, shadow_options={})
        asked.append((provider, query))
    return Retrieval(
        runtime=runtime,
        principal=principal,
        text=text,
        top_k=top_k,
        several=len(asked) > 1,
        providers=list(dict.fromkeys(provider for provider, _query in asked)),
        prepared=await runtime.search.prepare(principal.tenant_id, asked),
    )


def _provider(corpus: Corpus, degrade: ServiceLimits) -> str:
    if not degrade.providers or corpus.retriever in degrade.providers:
        return corpus.retriever
    return degrade.providers[0]
