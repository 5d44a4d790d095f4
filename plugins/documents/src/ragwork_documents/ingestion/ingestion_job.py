"""The ingestion job: read the sources, cut, embed what is new, swap the chunks in.

The job acts for the system: the right to write was judged when the document was accepted, and who may
read is read again, under the document's lock, in the transaction that makes chunks visible. Every step
can be repeated; a job for an older generation, or for a document that is settled or gone, writes nothing.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import attrs
import orjson
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.jobs import Job, JobKind, PermanentFailure
from ragwork_hooks.parsing import DocumentParsing, ParseError
from ragwork_hooks.provider_kinds import EMBEDDING
from ragwork_hooks.retrieval import Index
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction

from ragwork_documents.ingestion.attachments import Attachments, readable
from ragwork_documents.ingestion.cut_document import (
    ClaimedDocument,
    CutDocument,
    claimed_document,
    cut_all,
    indexed_document,
)
from ragwork_documents.ingestion.erasure import DocumentErasure
from ragwork_documents.ingestion.ingest_payload import JOB_KIND, DocumentGeneration, payload, targets_of
from ragwork_documents.permissions.readers import readers_by_document

EMBED_BATCH: Final = 32
MAX_REASON: Final = 500
_PROGRESS_EVERY_S: Final = 0.5


class _NoLongerWanted(Exception):
    """The document was cancelled, deleted or replaced while it was ingested."""


class IngestionJobs:
    """Runs ``documents.ingest`` jobs."""

    def __init__(self, services: Services, index: Index, parsing: DocumentParsing | None = None) -> None:
        self._services = services
        self._index = index
        self._parsing = parsing
        self._attachments = Attachments(services, DocumentErasure(services, index))

    def kind(self, *, max_attempts: int, concurrency: int) -> JobKind:
        """The declaration of the job."""
        return JobKind(
            name=JOB_KIND, run=self.run, on_dead=self.dead, max_attempts=max_attempts, concurrency=concurrency
        )

    async def run(self, job: Job) -> None:
        """Ingest the job's documents together; one by one once something went wrong with them."""
        corpus_id, targets = targets_of(job.payload)
        if len(targets) > 1 and job.attempt == 1:
            try:
                await self._ingest(job, corpus_id, targets)
            except (ProviderError, PermanentFailure):
                self._services.metrics.count(
                    "ingest_batches_split_total", "IngestionJobs batches done again one document at a time"
                )
            else:
                return
        for target in targets:
            await self._ingest_one(job, corpus_id, target)

    async def dead(self, job: Job, reason: str) -> None:
        """Mark the job's document failed; documents of a batch get a job of their own instead.

        A batch may have died of one of its documents: the others must not share its fate.
        """
        corpus_id, targets = targets_of(job.payload)
        if len(targets) == 1:
            await self._give_up(job, targets[0], reason)
            return
        async with self._services.db.tenant(job.tenant_id) as tx:
            rows = await tx.fetch(
                """SELECT d.id, d.generation FROM documents.documents d
                JOIN unnest($1::text[], $2::integer[]) AS t(id, generation) USING (id, generation)
                WHERE d.tenant_id = ragwork.tenant() AND d.status IN ('queued', 'processing')
                ORDER BY d.id FOR UPDATE OF d""",
                *_columns(targets),
            )
            for row in rows:
                target = DocumentGeneration(document_id=row["id"], generation=row["generation"])
                await self._services.jobs.enqueue(tx, JOB_KIND, payload(corpus_id, [target]))

    async def at_once(
        self, tx: Transaction, corpus_id: str, targets: Sequence[DocumentGeneration]
    ) -> Mapping[str, str]:
        """Ingest in the caller's transaction, each document for itself. Document id → final status."""
        states = {}
        for target in targets:
            states[target.document_id] = "succeeded"
            try:
                embedder, claimed = await self._claim(tx, 1, corpus_id, [target])
                works = await self._cut(tx.tenant_id, claimed)
                vectors = await self._embed(embedder, works, None)
                attached = await self._store(tx, corpus_id, embedder, works, vectors)
                await self.at_once(tx, corpus_id, attached)
            except (ProviderError, PermanentFailure) as error:
                await self._fail(tx, target, str(error))
                states[target.document_id] = "failed"
        return states

    async def _ingest_one(self, job: Job, corpus_id: str, target: DocumentGeneration) -> None:
        try:
            await self._ingest(job, corpus_id, [target])
        except PermanentFailure as error:
            await self._give_up(job, target, str(error))
        except ProviderError as error:
            if error.retryable:
                raise
            await self._give_up(job, target, str(error))

    async def _ingest(self, job: Job, corpus_id: str, targets: Sequence[DocumentGeneration]) -> None:
        async with self._services.db.tenant(job.tenant_id) as tx:
            embedder, claimed = await self._claim(tx, job.attempt, corpus_id, targets)
        if not claimed:
            return
        works = await self._cut(job.tenant_id, claimed)
        try:
            vectors = await self._embed(embedder, works, job.tenant_id if len(works) == 1 else None)
        except _NoLongerWanted:
            return
        async with self._services.db.tenant(job.tenant_id) as tx:
            attached = await self._store(tx, corpus_id, embedder, works, vectors)
            if attached:
                await self._services.jobs.enqueue(tx, JOB_KIND, payload(corpus_id, attached))

    async def _claim(
        self, tx: Transaction, attempt: int, corpus_id: str, targets: Sequence[DocumentGeneration]
    ) -> tuple[str, Sequence[ClaimedDocument]]:
        """Mark the documents processing and read what they are made of.

        A failed document is taken too: an operator who retries a dead job means it.
        """
        rows = await tx.fetch(
            """UPDATE documents.documents d SET status = 'processing', phase = 'chunking',
                failure_reason = NULL, attempt = $3, updated_at = now(),
                processing_started_at = COALESCE(d.processing_started_at, now())
            FROM unnest($1::text[], $2::integer[]) AS t(id, generation), documents.corpora c
            WHERE d.tenant_id = ragwork.tenant() AND d.id = t.id AND d.generation = t.generation
                AND d.status IN ('queued', 'processing', 'failed') AND d.corpus_id = $4
                AND c.tenant_id = d.tenant_id AND c.id = d.corpus_id
            RETURNING d.id, d.generation, d.blob_key, d.content_type, d.filename, d.is_parsed, d.chunk_size,
                d.chunk_overlap, d.indexed_generation, c.embedder""",
            *_columns(targets),
            attempt,
            corpus_id,
        )
        claimed = []
        for row in rows:
            source = await self._services.blob.get(tx, row["blob_key"])
            known: frozenset[str] = frozenset()
            if row["indexed_generation"] is not None:
                known = await self._index.known(tx, row["id"], row["embedder"])
            claimed.append(claimed_document(row, source, known))
        return (rows[0]["embedder"] if rows else ""), claimed

    async def _cut(self, tenant_id: str, claimed: Sequence[ClaimedDocument]) -> Sequence[CutDocument]:
        parsed = [await self._parse(tenant_id, document) for document in claimed]
        return await asyncio.to_thread(cut_all, parsed)

    async def _parse(self, tenant_id: str, document: ClaimedDocument) -> ClaimedDocument:
        """The document with what its parser found, unless it is a text. Raises ``PermanentFailure`` for a file that
        can't be read, and the ``ProviderError`` of the parsing.
        """
        if document.source is None or not document.is_parsed:
            return document
        if self._parsing is None:
            raise PermanentFailure(f"{document.content_type} needs a parser, and none is installed")
        try:
            parsed = await self._parsing.parse(
                tenant_id, document.source, document.filename, document.content_type
            )
        except ParseError as error:
            raise PermanentFailure(f"{error.code}: {error.message}") from error
        attachments = await readable(self._parsing, tenant_id, parsed.attachments)
        return attrs.evolve(document, parsed=parsed, attachments=attachments)

    async def _embed(
        self, embedder: str, works: Sequence[CutDocument], reporting_to: str | None
    ) -> Mapping[str, Sequence[float]]:
        """Digest → vector of every piece that the index does not know. How far the first of ``works`` is gets
        reported in the tenant ``reporting_to``. Raises ``_NoLongerWanted`` when that finds it settled.
        """
        fresh = {p.digest: p.context + p.text for w in works for p in w.pieces if p.digest not in w.known}
        vectors: dict[str, Sequence[float]] = {}
        if not fresh:
            return vectors
        provider = await self._services.providers.open(EMBEDDING, embedder)
        digests, reported = list(fresh), self._services.clock.monotonic()
        for start in range(0, len(digests), EMBED_BATCH):
            batch = digests[start : start + EMBED_BATCH]
            made = await provider.embed([fresh[digest] for digest in batch], "document")
            vectors.update(zip(batch, made, strict=True))
            now = self._services.clock.monotonic()
            if reporting_to is not None and now - reported >= _PROGRESS_EVERY_S:
                await self._report(reporting_to, works[0], len(digests) - len(vectors))
                reported = now
        return vectors

    async def _report(self, tenant_id: str, work: CutDocument, left: int) -> None:
        total = len(work.pieces)
        async with self._services.db.tenant(tenant_id) as tx:
            is_wanted = await tx.fetchval(
                """UPDATE documents.documents SET phase = 'embedding', chunks_done = $3, chunks_total = $4,
                    updated_at = now()
                WHERE tenant_id = ragwork.tenant() AND id = $1 AND generation = $2
                    AND status = 'processing' RETURNING true""",
                work.target.document_id,
                work.target.generation,
                max(total - left, 0),
                total,
            )
        if not is_wanted:
            raise _NoLongerWanted

    async def _store(
        self,
        tx: Transaction,
        corpus_id: str,
        embedder: str,
        works: Sequence[CutDocument],
        vectors: Mapping[str, Sequence[float]],
    ) -> Sequence[DocumentGeneration]:
        """Swap in the new chunks of what is still wanted. Gives what was attached, to be ingested in turn."""
        by_id = {work.target.document_id: work for work in works}
        rows = await tx.fetch(_LOCK, *_columns([work.target for work in works]), corpus_id)
        if not rows:
            return []
        if rows[0]["embedder"] != embedder:
            raise RuntimeError("the corpus got another embedder meanwhile; the next attempt uses it")
        # A statement of its own, after the locks: a grant that changed while they were awaited counts.
        readers = await readers_by_document(tx, [row["id"] for row in rows])
        for row in rows:
            work = by_id[row["id"]]
            if work.file_text is not None:
                await self._services.blob.put(tx, *work.file_text)
            await self._index.replace(
                tx, indexed_document(row, corpus_id, embedder, work, vectors, readers[row["id"]])
            )
        await tx.execute(
            """UPDATE documents.documents d SET status = 'succeeded', phase = 'done',
                failure_reason = NULL, indexed_generation = d.generation, language = t.language,
                num_chunks = t.chunks, chunks_done = t.chunks, chunks_total = t.chunks,
                warnings = ARRAY(SELECT jsonb_array_elements_text(t.warnings::jsonb)),
                completed_at = now(), updated_at = now()
            FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[]) AS t(id, chunks, language, warnings)
            WHERE d.tenant_id = ragwork.tenant() AND d.id = t.id""",
            [row["id"] for row in rows],
            [len(by_id[row["id"]].pieces) for row in rows],
            [by_id[row["id"]].language for row in rows],
            [orjson.dumps(by_id[row["id"]].warnings).decode() for row in rows],
        )
        return [
            target
            for row in rows
            for target in await self._attachments.put(tx, row["id"], by_id[row["id"]].attached)
        ]

    async def _give_up(self, job: Job, target: DocumentGeneration, reason: str) -> None:
        async with self._services.db.tenant(job.tenant_id) as tx:
            await self._fail(tx, target, reason)

    async def _fail(self, tx: Transaction, target: DocumentGeneration, reason: str) -> None:
        await tx.execute(
            """UPDATE documents.documents SET status = 'failed', phase = 'failed', failure_reason = $3,
                completed_at = now(), updated_at = now()
            WHERE tenant_id = ragwork.tenant() AND id = $1 AND generation = $2
                AND status IN ('queued', 'processing')""",
            target.document_id,
            target.generation,
            reason[:MAX_REASON],
        )


# The corpus' row is locked before its documents', in the order that a change of its embedder takes them.
_LOCK: Final = """
WITH corpus AS MATERIALIZED (
    SELECT id, embedder FROM documents.corpora WHERE tenant_id = ragwork.tenant() AND id = $3 FOR SHARE
)
SELECT d.id, d.generation, d.filename, d.owner, d.metadata, d.labels, corpus.embedder
FROM corpus
JOIN documents.documents d ON d.tenant_id = ragwork.tenant() AND d.corpus_id = corpus.id
JOIN unnest($1::text[], $2::integer[]) AS t(id, generation) ON t.id = d.id AND t.generation = d.generation
WHERE d.status = 'processing' ORDER BY d.id FOR UPDATE OF d
"""


def _columns(targets: Sequence[DocumentGeneration]) -> tuple[list[str], list[int]]:
    return [t.document_id for t in targets], [t.generation for t in targets]
