"""Asking a corpus the questions of a set, as somebody, and scoring what comes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import attrs
from ragwork_hooks.answering import Answering
from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.authz import Action
from ragwork_hooks.documents import Corpus, CorpusSearch, DocumentCatalog
from ragwork_hooks.errors import Problem, not_found
from ragwork_hooks.provider_kinds import RETRIEVAL
from ragwork_hooks.services import Services

from ragwork_evals.metrics import GroundTruth, answer_scores, retrieval_scores

RETRIEVE: Final = Action(name="corpus.retrieve", role=Role.READER)
#: Questions that are asked at once.
_AT_ONCE: Final = 4


@attrs.frozen(kw_only=True)
class EvalSettings:
    """What a corpus is asked with; see ``EvalRequest``."""

    top_k: int = 5
    min_score: float | None = None
    options: Mapping[str, object] = attrs.field(factory=dict)
    rerank: bool = True
    prefix: str = ""
    answers: bool = False

    def over(self, corpus: Corpus) -> Corpus:
        """``corpus`` as it is asked; nothing is asked in its shadow."""
        return attrs.evolve(
            corpus,
            options={**corpus.options, **self.options},
            min_score=corpus.min_score if self.min_score is None else self.min_score,
            reranking=corpus.reranking if self.rerank else None,
            shadow=None,
        )


@attrs.frozen(kw_only=True)
class AskedQuestion:
    """Question ``n`` of a set."""

    n: int
    question: str
    expected: GroundTruth


@attrs.frozen(kw_only=True)
class QuestionResult:
    """Documents of the passages, best first, and metric → score."""

    n: int
    found: Sequence[str]
    scores: Mapping[str, float]


class Evaluator:
    """Asks in the caller's name: what the caller may not read is not found."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._catalog = services.use(DocumentCatalog)
        self._search = services.use(CorpusSearch)
        self._answering = services.use(Answering)

    async def check(self, tenant_id: str, corpus_id: str, settings: EvalSettings) -> None:
        """Raises ``Problem`` 404 for an unknown corpus, 422 for options that its retriever does not take."""
        corpus = settings.over(await self._corpus(tenant_id, corpus_id))
        await self._services.providers.check(RETRIEVAL, corpus.retriever, corpus.options, tenant_id)

    async def ask(
        self,
        principal: Principal,
        corpus_id: str,
        questions: Sequence[AskedQuestion],
        settings: EvalSettings,
        advance: Callable[[int], Awaitable[None]],
    ) -> Sequence[QuestionResult]:
        """A result for each question, in order; ``advance`` is told how many more are done.

        Raises ``Problem`` 404 for a corpus that is gone, and the ``ProviderError`` of a question that can't be asked.
        """
        corpus = settings.over(await self._corpus(principal.tenant_id, corpus_id))
        results: list[QuestionResult] = []
        for start in range(0, len(questions), _AT_ONCE):
            asked = questions[start : start + _AT_ONCE]
            results += await asyncio.gather(*(self._one(principal, corpus, each, settings) for each in asked))
            await advance(len(asked))
        return results

    async def _one(
        self, principal: Principal, corpus: Corpus, asked: AskedQuestion, settings: EvalSettings
    ) -> QuestionResult:
        scope = await self._services.read_scope(principal, RETRIEVE)
        query = corpus.query(asked.question, settings.top_k, scope)
        prepared = await self._search.prepare(principal.tenant_id, [(corpus.retriever, query)])
        async with self._services.db.tenant(principal.tenant_id, "read") as tx:
            answers = await prepared.read(tx, await self._services.read_scope(principal, RETRIEVE))
        answers = await prepared.rerank(answers)
        passages = answers.found[0][1]
        found = [passage.document_id for passage in passages]
        documents = [settings.prefix + document for document in asked.expected.documents]
        expected = attrs.evolve(asked.expected, documents=documents)
        scores = dict(retrieval_scores(expected, found, [passage.text for passage in passages]))
        if settings.answers:
            scores |= await self._answered(principal, corpus, asked.question, expected, settings.top_k)
        return QuestionResult(n=asked.n, found=list(dict.fromkeys(found)), scores=scores)

    async def _answered(
        self, principal: Principal, corpus: Corpus, question: str, expected: GroundTruth, top_k: int
    ) -> Mapping[str, float]:
        answer = await self._answering.answer(principal, corpus, question, top_k)
        cited = [citation.document_id for citation in answer.citations]
        return answer_scores(expected, answer.text, cited, [citation.quote for citation in answer.citations])

    async def _corpus(self, tenant_id: str, corpus_id: str) -> Corpus:
        corpus = await self._catalog.corpus(tenant_id, corpus_id)
        if corpus is None:
            raise not_found("corpus", corpus_id)
        return corpus


def check_asker(principal: Principal) -> None:
    """Raise ``Problem`` 403 for somebody whose rights a job can't have: bound to scopes, or acting for another."""
    if principal.scopes is not None or principal.on_behalf_of is not None:
        raise Problem(
            "AUTH_FORBIDDEN", "an evaluation asks as you: use a key of your own, not one bound to scopes"
        )
