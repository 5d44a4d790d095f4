"""Ingesting many documents from a command: accepted in batches, then awaited, with what was attached to them."""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Collection, Sequence
from typing import Final

import attrs
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Directory, Principal, Role
from ragwork_hooks.errors import Problem
from ragwork_hooks.retrieval import Index
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction

from ragwork_documents.corpora.corpus_rights import CorpusRights
from ragwork_documents.corpora.corpus_routes import Corpora
from ragwork_documents.ingestion.document_service import DocumentService
from ragwork_documents.ingestion.settlement import settled
from ragwork_documents.ingestion.submission import Batch, Overwrite
from ragwork_documents.permissions.acl import DocumentAcl
from ragwork_documents.permissions.catalog import Catalog, load_corpus
from ragwork_documents.schemas import CorpusCreateRequest

#: The user that owns what commands ingest; a key for it is made with ``keys create --user cli``.
OPERATOR: Final = "cli"
_POLL_S: Final = 0.05
_POLL_IDS: Final = 1_000


@attrs.define
class BulkSummary:
    """What became of the documents. ``failures`` holds one line for each that was not indexed."""

    indexed: int = 0
    unchanged: int = 0
    attached: int = 0
    failures: list[str] = attrs.field(factory=list)
    skipped: list[str] = attrs.field(factory=list)

    @property
    def settled(self) -> int:
        """How many documents need not be waited for any more."""
        return self.indexed + self.unchanged + len(self.failures) + len(self.skipped)


class BulkIngest:
    """The same acceptance as the API's, for one tenant and corpus, as the operator."""

    def __init__(
        self,
        services: Services,
        tenant_id: str,
        corpus_id: str,
        readers: Sequence[str],
        access: DocumentAcl,
        record: Callable[[Transaction, AuditDetails], Awaitable[None]],
    ) -> None:
        self._services = services
        self._tenant_id = tenant_id
        self._corpus_id = corpus_id
        self._readers = readers
        index = services.use(Index)
        self._document_service = DocumentService(services, index, access)
        self._rights = CorpusRights.of(services, index)
        self._record = record
        self._principal = operator_of(tenant_id)

    async def prepare(self, embedder: str) -> bool:
        """Create tenant and corpus when new; whether the corpus was."""
        directory = self._services.use_optional(Directory)
        corpora = Corpora(
            self._services, Catalog(self._services), self._document_service, self._rights, embedder
        )
        async with self._services.db.tenant(self._tenant_id) as tx:
            if directory is not None:
                await directory.ensure_tenant(tx)
            if await load_corpus(tx, self._corpus_id) is not None:
                return False
            request = CorpusCreateRequest(id=self._corpus_id, name=self._corpus_id)
            await corpora.create(tx, self._principal, request)
            await self._record(
                tx, AuditDetails(event="corpora.created", resource_type="corpus", resource_id=request.id)
            )
            return True

    async def run(self, batches: AsyncIterable[Batch], advance: Callable[[int], None]) -> BulkSummary:
        """Accept all of ``batches`` and wait until each document is settled; ``advance`` counts them."""
        summary = BulkSummary()
        waiting: list[str] = []
        async for batch in batches:
            settled = summary.settled
            waiting += await self._accept(batch, summary)
            waiting = await self._settle(waiting, summary)
            advance(summary.settled - settled)
        while waiting:
            await asyncio.sleep(_POLL_S)
            settled = summary.settled
            waiting = await self._settle(waiting, summary)
            advance(summary.settled - settled)
        return summary

    async def prune(self, origin: str, prefix: str, kept: Collection[str]) -> int:
        """Delete the corpus' documents of ``origin`` whose id begins with ``prefix`` and is not among ``kept``. Gives
        how many they were.
        """
        async with self._services.db.tenant(self._tenant_id) as tx:
            rows = await tx.fetch(
                """SELECT id FROM documents.documents
                WHERE tenant_id = ragwork.tenant() AND corpus_id = $1 AND origin = $2 AND starts_with(id, $3)
                    AND id <> ALL ($4::text[])
                ORDER BY id FOR UPDATE""",
                self._corpus_id,
                origin,
                prefix,
                sorted(kept),
            )
            gone = [row["id"] for row in rows]
            if gone:
                await self._document_service.erase(tx, gone)
            for document_id in gone:
                note = AuditDetails(
                    event="documents.deleted", resource_type="document", resource_id=document_id
                )
                await self._record(tx, note)
        return len(gone)

    async def _accept(self, batch: Batch, summary: BulkSummary) -> list[str]:
        summary.failures += batch.failures
        summary.skipped += batch.skipped
        if not batch.submissions:
            return []
        async with self._services.db.tenant(self._tenant_id) as tx:
            outcomes = await self._document_service.accept(
                tx, self._principal, self._corpus_id, batch.submissions, Overwrite.CHANGED, self._readers
            )
            for outcome in outcomes:
                if outcome.refusal is None and outcome.status != "succeeded":
                    await self._record(
                        tx, AuditDetails(resource_type="document", resource_id=outcome.document_id)
                    )
        waiting = []
        for outcome in outcomes:
            if outcome.refusal is not None:
                summary.failures.append(f"{outcome.document_id}: {_reason(outcome.refusal)}")
            elif outcome.status == "succeeded":
                summary.unchanged += 1
            else:
                waiting.append(outcome.document_id)
        return waiting

    async def _settle(self, waiting: list[str], summary: BulkSummary) -> list[str]:
        """What of ``waiting`` is still under way; only its oldest part is asked for. What was attached to a document
        is waited for after it.
        """
        if not waiting:
            return waiting
        documents = await settled(self._services.db, self._tenant_id, waiting[:_POLL_IDS])
        for document in documents:
            if document.failure is not None:
                summary.failures.append(f"{document.document_id}: {document.failure}")
            elif document.is_attached:
                summary.attached += 1
            else:
                summary.indexed += 1
        done = {document.document_id for document in documents}
        attached = [document_id for document in documents for document_id in document.attached]
        return [*(document_id for document_id in waiting if document_id not in done), *attached]


def operator_of(tenant_id: str) -> Principal:
    """Who ingests when no user asked for it."""
    return Principal(
        tenant_id=tenant_id, user_id=OPERATOR, credential_id=OPERATOR, kind="system", role=Role.ADMIN
    )


def _reason(problem: Problem) -> str:
    return f"{problem.code}: {problem.message}"
