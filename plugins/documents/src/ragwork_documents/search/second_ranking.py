"""The second ranking: a reranker looks at the best passages of the first, for as long as a question may wait."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

import attrs
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.reranking import RERANKER
from ragwork_hooks.retrieval import Passage, Query, Reranking
from ragwork_hooks.services import Services

log = logging.getLogger(__name__)

#: Passages in one call. What was scored when the time is up counts by whole calls, the first ranking's best first.
BATCH: Final = 10
TIMEOUT_CODE: Final = "RERANKER_TIMEOUT"
FAILURE_CODE: Final = "RERANKER_ERROR"


@attrs.frozen(kw_only=True)
class RankedPassages:
    """Passages, best first, and why not all of them were reranked that should have been."""

    passages: Sequence[Passage]
    error: ProviderError | None = None


@attrs.frozen
class SecondRanking:
    """Ranks passages that the caller may read: they go to a service which may be anywhere."""

    services: Services

    async def rank(self, query: Query, passages: Sequence[Passage]) -> RankedPassages:
        """The best ``query.top_k`` of ``passages`` as the query's reranker orders them, never later than its budget.

        Passages that were scored stand first, best first; the others follow in the order that they had. Without a
        reranker all passages come back as they are.
        """
        reranking = query.reranking
        if reranking is None or not passages:
            return RankedPassages(passages=passages)
        started = time.perf_counter()
        scores: list[float] = []
        error = await self._score(reranking, query.text, passages[: reranking.top_n], scores)
        self._record(reranking, query.corpus_id, time.perf_counter() - started, len(scores), error)
        return RankedPassages(passages=_ordered(passages, scores)[: query.top_k], error=error)

    async def _score(
        self, reranking: Reranking, question: str, passages: Sequence[Passage], scores: list[float]
    ) -> ProviderError | None:
        """Fill ``scores``, one for each passage, until the time is up or the reranker fails: then that is returned."""
        try:
            async with asyncio.timeout(reranking.budget_ms / 1000):
                reranker = await self.services.providers.open(RERANKER, reranking.reranker)
                for start in range(0, len(passages), BATCH):
                    texts = [passage.text for passage in passages[start : start + BATCH]]
                    scores += _checked(await reranker.rerank(question, texts), len(texts))
        except TimeoutError:
            return ProviderError(
                TIMEOUT_CODE, f"{reranking.reranker} took more than {reranking.budget_ms} ms"
            )
        except ProviderError as error:
            return error
        except Exception as error:
            # A reranker's fault is no reason to refuse an answer that is there without it.
            log.exception("reranker %s broke its protocol", reranking.reranker)
            return ProviderError(FAILURE_CODE, f"{reranking.reranker} failed: {type(error).__name__}")
        return None

    def _record(
        self, reranking: Reranking, corpus_id: str, seconds: float, scored: int, error: ProviderError | None
    ) -> None:
        metrics, reranker = self.services.metrics, reranking.reranker
        late = error is not None and error.code == TIMEOUT_CODE
        outcome = "complete" if error is None else "late" if late else "failed"
        metrics.count("retrieval_reranks_total", "Rerankings by outcome", reranker=reranker, outcome=outcome)
        metrics.observe("retrieval_rerank_seconds", "Time of a reranking", seconds, reranker=reranker)
        if error is not None:
            log.warning(
                "not reranked",
                extra={
                    "corpus": corpus_id,
                    "reranker": reranker,
                    "outcome": outcome,
                    "error": error.code,
                    "reason": error.message,
                    "scored": scored,
                    "ms": round(seconds * 1000, 1),
                },
            )


def _checked(scores: object, count: int) -> list[float]:
    """One relevance for each of ``count`` texts: types promise nothing about code of others."""
    if isinstance(scores, Sequence) and len(scores) == count:
        relevances = [float(score) for score in scores]
        if all(0.0 <= score <= 1.0 for score in relevances):
            return relevances
    raise ProviderError(FAILURE_CODE, "the reranker did not give each text a relevance from 0.0 to 1.0")


def _ordered(passages: Sequence[Passage], scores: Sequence[float]) -> list[Passage]:
    """``passages`` with ``scores`` for the first of them: those by score, equal ones in their order, then the rest."""
    scored = [attrs.evolve(passage, rerank=score) for passage, score in zip(passages, scores, strict=False)]
    order = sorted(range(len(scored)), key=lambda place: -scores[place])
    return [*(scored[place] for place in order), *passages[len(scored) :]]
