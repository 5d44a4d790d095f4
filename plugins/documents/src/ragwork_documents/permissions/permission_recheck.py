"""The re-check around retrievers whose index may lag: their passages are held against the catalogue."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import attrs
from ragwork_hooks.authz import ReadScope
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.operations import Metrics
from ragwork_hooks.retrieval import Passage, PreparedQuery, Query, Retriever
from ragwork_hooks.storage import Transaction

from ragwork_documents.permissions.catalog import within

#: Passages asked for beyond ``top_k``: they fill up what the check keeps back.
SPARE: Final = 20


@attrs.define
class BlockedCount:
    """How many passages the re-check kept back."""

    number: int = 0


_counting: Final[ContextVar[BlockedCount | None]] = ContextVar("ragwork_documents_blocked", default=None)


@contextmanager
def counting_blocked() -> Iterator[BlockedCount]:
    """Count what the re-check keeps back in this context, however many other wraps lie around it."""
    blocked = BlockedCount()
    token = _counting.set(blocked)
    try:
        yield blocked
    finally:
        _counting.reset(token)


@attrs.frozen
class _Checked:
    prepared: PreparedQuery
    retriever: str
    top_k: int
    metrics: Metrics

    async def passages(self, tx: Transaction, scope: ReadScope) -> Sequence[Passage]:
        found = await self.prepared.passages(tx, scope)
        if not _are_passages(found):
            raise _malformed(self.retriever, self.metrics)
        if not found:
            return found
        readable = await within(tx, scope, (passage.document_id for passage in found))
        kept = [passage for passage in found if passage.document_id in readable]
        counting = _counting.get()
        if counting is not None:
            counting.number += len(found) - len(kept)
        for _ in range(len(found) - len(kept)):
            self.metrics.count(
                "retrieval_passages_blocked_total",
                "Passages that a retriever returned although the caller may not read their document",
                retriever=self.retriever,
            )
        return kept[: self.top_k]


@attrs.frozen
class PermissionCheckedRetriever:
    """A retriever whose passages are held against the catalogue before anybody uses them."""

    name: str
    inner: Retriever
    metrics: Metrics

    @property
    def transactional(self) -> bool:
        return self.inner.transactional

    async def prepare(self, tenant_id: str, query: Query) -> PreparedQuery:
        if self.inner.transactional:
            # The same snapshot ranks and judges: a second look could not differ.
            return await self.inner.prepare(tenant_id, query)
        asked = attrs.evolve(query, top_k=query.top_k + SPARE)
        prepared = await self.inner.prepare(tenant_id, asked)
        if not callable(getattr(prepared, "passages", None)):
            raise _malformed(self.name, self.metrics)
        return _Checked(prepared, self.name, query.top_k, self.metrics)


def _are_passages(found: object) -> bool:
    """Whether a third party kept to its protocol: types promise nothing about code of others."""
    return isinstance(found, Sequence) and all(isinstance(passage, Passage) for passage in found)


def _malformed(retriever: str, metrics: Metrics) -> ProviderError:
    """The error of a retriever that breaks its protocol."""
    metrics.count("retrieval_malformed_total", "Answers of retrievers of a wrong type", retriever=retriever)
    return ProviderError("RETRIEVAL_ERROR", f"{retriever} answered with something that is no passages")
