"""Shadow reads: a second retriever is asked the same in the background, and only the difference is kept."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

import attrs
from ragwork_hooks.authz import ReadScope
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.provider_kinds import RETRIEVAL
from ragwork_hooks.retrieval import Passage, PreparedQuery, Query, Retriever
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.background import BackgroundTasks

log = logging.getLogger(__name__)

#: Shadow reads under way in one process; each may hold a connection, so what is beyond is dropped.
MAX_UNDER_WAY: Final = 4
TIME_LIMIT_S: Final = 10.0


@attrs.frozen(kw_only=True)
class ShadowComparison:
    """What the corpus' own retriever answered: the documents found, and the seconds it took."""

    retriever: str
    tenant_id: str
    query: Query
    scope: ReadScope
    documents: frozenset[str]
    seconds: float


class Shadows:
    """Runs the shadow reads of a process, in ``tasks``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        # A read ends itself in time; the second more lets it count that it did.
        self.tasks = BackgroundTasks(at_most=MAX_UNDER_WAY, finish_s=TIME_LIMIT_S + 1)

    def read(self, shadow: str, reading: ShadowComparison) -> None:
        """Ask ``shadow`` in the background, or drop it when enough are under way. Never waits, never fails."""
        if self.tasks.full:
            self._count(shadow, reading, "dropped")
        else:
            self.tasks.start(self._compare(shadow, reading), f"shadow {shadow}")

    async def _compare(self, shadow: str, reading: ShadowComparison) -> None:
        started = time.perf_counter()
        documents: frozenset[str] = frozenset()
        failure = ""
        try:
            async with asyncio.timeout(TIME_LIMIT_S):
                documents = await self._documents(shadow, reading)
        except Exception as error:
            # Whatever a provider under trial raises is a finding, and nobody else's trouble.
            failure = error.code if isinstance(error, ProviderError) else type(error).__name__
        self._record(shadow, reading, documents, time.perf_counter() - started, failure)

    async def _documents(self, shadow: str, reading: ShadowComparison) -> frozenset[str]:
        # From the binding table: its passages pass the same checks as anybody's.
        retriever = await self._services.providers.open(RETRIEVAL, shadow)
        prepared = await retriever.prepare(reading.tenant_id, reading.query)
        async with self._services.db.tenant(reading.tenant_id, "read") as tx:
            return _documents(await prepared.passages(tx, reading.scope))

    def _record(
        self, shadow: str, reading: ShadowComparison, documents: frozenset[str], seconds: float, failure: str
    ) -> None:
        outcome = "failed" if failure else "same" if documents == reading.documents else "different"
        self._count(shadow, reading, outcome)
        for side, took in (("own", reading.seconds), ("shadow", seconds)):
            self._services.metrics.observe(
                "retrieval_shadow_seconds",
                "Time of a retrieval that was compared with its shadow",
                took,
                retriever=reading.retriever,
                shadow=shadow,
                side=side,
            )
        if not failure:
            self._count_documents(shadow, reading, documents)
        log.info(
            "shadow read",
            extra={
                "tenant": reading.tenant_id,
                "corpus": reading.query.corpus_id,
                "retriever": reading.retriever,
                "shadow": shadow,
                "outcome": outcome,
                "error": failure or None,
                "top_k": reading.query.top_k,
                "overlap": None if failure else round(overlap(reading.documents, documents), 3),
                "own_ms": round(reading.seconds * 1000, 1),
                "shadow_ms": round(seconds * 1000, 1),
            },
        )

    def _count_documents(self, shadow: str, reading: ShadowComparison, documents: frozenset[str]) -> None:
        found = {
            "both": reading.documents & documents,
            "own": reading.documents - documents,
            "shadow": documents - reading.documents,
        }
        for by, those in found.items():
            for _ in those:
                self._services.metrics.count(
                    "retrieval_shadow_documents_total",
                    "Documents found by the corpus' own retriever, by its shadow, or by both",
                    retriever=reading.retriever,
                    shadow=shadow,
                    found_by=by,
                )

    def _count(self, shadow: str, reading: ShadowComparison, outcome: str) -> None:
        self._services.metrics.count(
            "retrieval_shadow_reads_total",
            "Shadow reads by outcome",
            retriever=reading.retriever,
            shadow=shadow,
            outcome=outcome,
        )


def overlap(own: frozenset[str], other: frozenset[str]) -> float:
    """Share of the larger answer's documents that both found, 0.0 to 1.0; two empty answers agree.

    Documents, not chunks: engines cut texts differently.
    """
    larger = max(len(own), len(other))
    return len(own & other) / larger if larger else 1.0


def _documents(passages: Sequence[Passage]) -> frozenset[str]:
    return frozenset(passage.document_id for passage in passages)


@attrs.frozen
class _ObservedRetrieval:
    prepared: PreparedQuery
    retriever: str
    shadow: str
    tenant_id: str
    query: Query
    seconds: float
    shadows: Shadows

    async def passages(self, tx: Transaction, scope: ReadScope) -> Sequence[Passage]:
        started = time.perf_counter()
        found = await self.prepared.passages(tx, scope)
        reading = ShadowComparison(
            retriever=self.retriever,
            tenant_id=self.tenant_id,
            query=self.query,
            scope=scope,
            documents=_documents(found),
            seconds=self.seconds + time.perf_counter() - started,
        )
        self.shadows.read(self.shadow, reading)
        return found


@attrs.frozen
class Shadowed:
    """A retriever whose answers are compared with those of ``Query.shadow``, when the query names one."""

    name: str
    inner: Retriever
    shadows: Shadows

    @property
    def transactional(self) -> bool:
        """The inner retriever's."""
        return self.inner.transactional

    async def prepare(self, tenant_id: str, query: Query) -> PreparedQuery:
        """See ``Retriever``. The shadow is asked once the passages are read: a failed read has none."""
        if query.shadow is None:
            return await self.inner.prepare(tenant_id, query)
        started = time.perf_counter()
        # A stand-in that answers within ``inner`` must not cast the shadow a second time.
        own = attrs.evolve(query, shadow=None, shadow_options={})
        prepared = await self.inner.prepare(tenant_id, own)
        return _ObservedRetrieval(
            prepared,
            self.name,
            query.shadow,
            tenant_id,
            attrs.evolve(own, options=query.shadow_options, fallback=()),
            time.perf_counter() - started,
            self.shadows,
        )
