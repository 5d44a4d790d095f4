"""Accepting work on documents: what is accepted is durable (row, grants, source, job) at the commit."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import attrs
from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import Action, Deny, Resource, problem_of, readers_of
from ragwork_hooks.errors import Problem, not_found, retry_after
from ragwork_hooks.retrieval import Index
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Row, Transaction

from ragwork_documents.ingestion.erasure import DocumentErasure
from ragwork_documents.ingestion.ingest_payload import JOB_KIND, DocumentGeneration, payload
from ragwork_documents.ingestion.input_checks import invalid
from ragwork_documents.ingestion.submission import Overwrite, Submission, SubmissionResult
from ragwork_documents.ingestion.submission_sql import CREATE, REPLACE, submission_records
from ragwork_documents.permissions import acl

#: More pieces than this make no sense for one document and would let a tiny size flood the index.
MAX_CHUNKS: Final = 20_000
REQUEUE_BATCH: Final = 32
#: Most documents are indexed within this.
RETRY_AFTER_S: Final = 2
_IN_FLIGHT: Final = ("queued", "processing")
#: The failure of a document whose ingestion somebody ended.
CANCELLED: Final = "cancelled: its ingestion was ended on request; reindex the document, or upload it again"


class Immediate(Protocol):
    """Ingests in the caller's transaction."""

    async def at_once(
        self, tx: Transaction, corpus_id: str, targets: Sequence[DocumentGeneration]
    ) -> Mapping[str, str]:
        """Document id → final status."""


class DocumentService:
    """Accepts, requeues and erases documents inside the caller's transaction. With ``immediate`` what is
    accepted is ingested there and then, else by a job.
    """

    def __init__(
        self,
        services: Services,
        index: Index,
        access: acl.DocumentAcl,
        immediate: Immediate | None = None,
    ) -> None:
        self._services = services
        self._erasure = DocumentErasure(services, index)
        self._access = access
        self._immediate = immediate

    async def accept(
        self,
        tx: Transaction,
        principal: Principal,
        corpus_id: str,
        submissions: Sequence[Submission],
        overwrite: Overwrite,
        readers: Sequence[str] = (),
    ) -> Sequence[SubmissionResult]:
        """Take ``submissions`` (distinct ids) in together; an outcome for each, in order.

        ``readers`` may read new documents beside the corpus' default readers. Raises ``Problem`` 404
        for an unknown corpus; what concerns one document is in its outcome.
        """
        outcomes = await self._refused(tx, principal, submissions)
        taken = [s for s in submissions if s.document_id not in outcomes]
        created = await self._create(tx, principal, corpus_id, taken, readers)
        targets = [
            DocumentGeneration(document_id=s.document_id, generation=1)
            for s in taken
            if s.document_id in created
        ]
        existing = {s.document_id: s for s in taken if s.document_id not in created}
        if existing:
            outcomes |= await self._meet(tx, principal, corpus_id, existing, overwrite)
            replaced = [s for s in existing.values() if s.document_id not in outcomes]
            targets += await self._replace(tx, replaced)
        if targets:
            await self._store_sources(tx, targets, taken)
            outcomes |= await self._start(tx, corpus_id, targets)
        return [outcomes[s.document_id] for s in submissions]

    async def reindex(
        self, tx: Transaction, document_id: str, chunk_size: int | None, chunk_overlap: int | None
    ) -> SubmissionResult:
        """Queue a settled document again. Raises ``Problem`` 404, 409 in flight or without its source."""
        row = await self._settled(tx, document_id)
        source = await self._services.blob.get(tx, row["blob_key"])
        if source is None:
            raise Problem("INGEST_SOURCE_MISSING", f"the source of document {document_id!r} is gone")
        size = row["chunk_size"] if chunk_size is None else chunk_size
        overlap = min(row["chunk_overlap"], size // 2) if chunk_overlap is None else chunk_overlap
        check_chunking(len(source), size, overlap)
        generation = await tx.fetchval(
            """WITH resized AS (
                UPDATE documents.documents SET chunk_size = $2, chunk_overlap = $3
                WHERE tenant_id = ragwork.tenant() AND id = $1 RETURNING id
            ) SELECT generation FROM documents.requeue(ARRAY(SELECT id FROM resized), true)""",
            document_id,
            size,
            overlap,
        )
        target = DocumentGeneration(document_id=document_id, generation=generation)
        return (await self._start(tx, row["corpus_id"], [target]))[document_id]

    async def cancel(self, tx: Transaction, document_id: str) -> bool:
        """End the ingestion of a document that is queued or processing; whether it was.

        What the index has of it stays as it was. The generation grows, so that the job under way writes nothing.
        """
        ended = await tx.fetchval(
            """UPDATE documents.documents SET status = 'failed', phase = 'failed', generation = generation + 1,
                failure_reason = $2, completed_at = now(), updated_at = now()
            WHERE tenant_id = ragwork.tenant() AND id = $1 AND status IN ('queued', 'processing')
            RETURNING true""",
            document_id,
            CANCELLED,
        )
        return bool(ended)

    async def requeue_corpus(self, tx: Transaction, corpus_id: str) -> None:
        """Queue every document of the corpus again; jobs under way for older generations write nothing."""
        rows = await tx.fetch(
            """SELECT id, generation FROM documents.requeue(ARRAY(
                SELECT id FROM documents.documents WHERE tenant_id = ragwork.tenant() AND corpus_id = $1), true)""",
            corpus_id,
        )
        targets = [DocumentGeneration(document_id=row["id"], generation=row["generation"]) for row in rows]
        for start in range(0, len(targets), REQUEUE_BATCH):
            await self._enqueue(tx, corpus_id, targets[start : start + REQUEUE_BATCH])

    async def delete(self, tx: Transaction, document_id: str) -> None:
        """Delete a settled document with every copy. Raises ``Problem`` 404, 409 in flight."""
        await self._settled(tx, document_id)
        await self.erase(tx, [document_id])

    async def _settled(self, tx: Transaction, document_id: str) -> Row:
        """The document's row, locked. Raises ``Problem`` 404, 409 in flight."""
        row = await tx.fetchrow(
            """SELECT corpus_id, status, blob_key, chunk_size, chunk_overlap FROM documents.documents
            WHERE tenant_id = ragwork.tenant() AND id = $1 FOR UPDATE""",
            document_id,
        )
        if row is None:
            raise not_found("document", document_id)
        if row["status"] in _IN_FLIGHT:
            raise in_progress(document_id)
        return row

    async def erase(self, tx: Transaction, document_ids: Sequence[str]) -> None:
        """See ``DocumentErasure.erase``."""
        await self._erasure.erase(tx, document_ids)

    async def authorize(self, tx: Transaction, principal: Principal, action: Action, document: Row) -> None:
        """Hold an existing document's row against the whole authorization plan. Raises ``Problem`` 403."""
        await self._check(tx, principal, action, self._access.resource(document, principal, tx.tenant_id))

    async def _check(self, tx: Transaction, principal: Principal, action: Action, resource: Resource) -> None:
        decision = await self._services.authorize(principal, action, resource, tx)
        if isinstance(decision.verdict, Deny):
            raise problem_of(decision.verdict)

    async def _refused(
        self, tx: Transaction, principal: Principal, submissions: Sequence[Submission]
    ) -> dict[str, SubmissionResult]:
        """Outcomes of submissions that ``principal`` may not write with the labels they carry."""
        refused: dict[str, SubmissionResult] = {}
        for submission in submissions:
            document_id = submission.document_id
            resource = acl.new_resource(principal, tx.tenant_id, document_id, submission.labels)
            try:
                await self._check(tx, principal, acl.WRITE, resource)
            except Problem as problem:
                refused[document_id] = SubmissionResult(
                    document_id=document_id, status="failed", job_id=None, refusal=problem
                )
        return refused

    async def _create(
        self,
        tx: Transaction,
        principal: Principal,
        corpus_id: str,
        submissions: Sequence[Submission],
        readers: Sequence[str],
    ) -> frozenset[str]:
        row = await tx.fetchrow(
            CREATE, corpus_id, submission_records(submissions), principal.user_id, list(readers)
        )
        if row is None or not row["corpus_exists"]:
            raise not_found("corpus", corpus_id)
        return frozenset(row["created"])

    async def _meet(
        self,
        tx: Transaction,
        principal: Principal,
        corpus_id: str,
        submissions: Mapping[str, Submission],
        overwrite: Overwrite,
    ) -> dict[str, SubmissionResult]:
        """Outcomes of submissions whose document exists and is not to be replaced."""
        rows = await tx.fetch(
            f"""SELECT d.id, d.corpus_id, d.status, d.fingerprint, d.owner, d.labels, d.last_job_id, d.origin,
                d.blob_key, d.metadata, d.chunk_size, d.chunk_overlap, {acl.GRANTED} AS granted
            FROM documents.documents d WHERE d.tenant_id = ragwork.tenant() AND d.id = ANY($2::text[])
            ORDER BY d.id FOR UPDATE OF d""",  # noqa: S608  # a constant of acl
            sorted(readers_of(principal)),
            list(submissions),
        )
        outcomes: dict[str, SubmissionResult] = {}
        for row in rows:
            try:
                if overwrite is Overwrite.OWN and row["origin"] != submissions[row["id"]].origin:
                    raise _of_another(row["id"])
                await self.authorize(tx, principal, acl.WRITE, row)
                if await self._stays(tx, row, corpus_id, submissions[row["id"]], overwrite):
                    outcomes[row["id"]] = _standing(row)
                else:
                    await self._erasure.forget_source(tx, row["blob_key"])
            except Problem as problem:
                outcomes[row["id"]] = attrs.evolve(_standing(row), refusal=problem)
        return outcomes

    async def _replace(
        self, tx: Transaction, submissions: Sequence[Submission]
    ) -> Sequence[DocumentGeneration]:
        if not submissions:
            return []
        rows = await tx.fetch(REPLACE, submission_records(submissions))
        return [DocumentGeneration(document_id=row["id"], generation=row["generation"]) for row in rows]

    async def _stays(
        self, tx: Transaction, row: Row, corpus_id: str, submission: Submission, overwrite: Overwrite
    ) -> bool:
        """Whether the existing document answers the submission; False when it is to be replaced.

        Raises ``Problem`` 409 for what it neither answers nor may replace.
        """
        if row["corpus_id"] != corpus_id:
            raise Problem("CONFLICT", f"document {row['id']!r} belongs to another corpus")
        same: bool = row["fingerprint"] == submission.fingerprint
        if overwrite is Overwrite.NEVER:
            if not same and (differs := await self._differences(tx, row, submission)):
                raise _other_content(row["id"], differs)
            return True
        if row["status"] in _IN_FLIGHT:
            if same:
                return True
            raise in_progress(row["id"])
        return overwrite is not Overwrite.ALWAYS and same and bool(row["status"] == "succeeded")

    async def _differences(self, tx: Transaction, row: Row, submission: Submission) -> Sequence[str]:
        """What of the submission would be lost if the document stayed: its content, and what it chose of the
        rest. A file's name is no content.
        """
        kept = {
            "metadata_json": row["metadata"] == submission.metadata,
            "chunk_size_chars": row["chunk_size"] == submission.chunk_size,
            "chunk_overlap_chars": row["chunk_overlap"] == submission.chunk_overlap,
        }
        differs = [name for name in kept if name in submission.chosen and not kept[name]]
        source = await self._services.blob.get(tx, row["blob_key"])
        return differs if source == submission.source else ["content", *differs]

    async def _store_sources(
        self, tx: Transaction, targets: Sequence[DocumentGeneration], submissions: Sequence[Submission]
    ) -> None:
        ids = {target.document_id for target in targets}
        for submission in submissions:
            if submission.document_id in ids:
                await self._services.blob.put(tx, submission.blob_key, submission.source)

    async def _start(
        self, tx: Transaction, corpus_id: str, targets: Sequence[DocumentGeneration]
    ) -> dict[str, SubmissionResult]:
        """Ingest ``targets`` now, or queue one job for them."""
        if self._immediate is None:
            job_id = await self._enqueue(tx, corpus_id, targets)
            states: Mapping[str, str] = {target.document_id: "queued" for target in targets}
        else:
            job_id = None
            states = await self._immediate.at_once(tx, corpus_id, targets)
        return {
            document_id: SubmissionResult(document_id=document_id, status=status, job_id=job_id, fresh=True)
            for document_id, status in states.items()
        }

    async def _enqueue(self, tx: Transaction, corpus_id: str, targets: Sequence[DocumentGeneration]) -> str:
        """One job for ``targets``. Gives the job's id."""
        job_id = await self._services.jobs.enqueue(tx, JOB_KIND, payload(corpus_id, targets))
        await tx.execute(
            """UPDATE documents.documents SET last_job_id = $1
            WHERE tenant_id = ragwork.tenant() AND id = ANY($2::text[])""",
            job_id,
            sorted(target.document_id for target in targets),
        )
        return job_id


def check_chunking(characters: int, size: int, overlap: int) -> None:
    """Raise ``Problem`` 422 for an overlap above half the size or a size that makes too many chunks."""
    if 2 * overlap > size:
        path: list[str | int] = ["body", "chunk_overlap_chars"]
        raise invalid(path, f"{overlap} must be at most half of chunk_size_chars, {size // 2} here")
    if characters > MAX_CHUNKS * (size - overlap):
        path = ["body", "chunk_size_chars"]
        raise invalid(path, f"would cut {characters} characters into more than {MAX_CHUNKS} chunks")


def in_progress(document_id: str) -> Problem:
    """The refusal of a change to a document that is queued or processing."""
    return Problem(
        "INGEST_IN_PROGRESS",
        f"document {document_id!r} is being ingested; try again when it is done",
        headers=retry_after(RETRY_AFTER_S),
    )


def _other_content(document_id: str, differs: Sequence[str]) -> Problem:
    return Problem(
        "CONFLICT",
        f"document {document_id!r} exists with another {' and '.join(differs)}; "
        'send "overwrite": true to replace it, or another document_id',
        details={"document_id": document_id, "differs": list(differs), "replace_with": "overwrite"},
    )


def _of_another(document_id: str) -> Problem:
    return Problem(
        "CONFLICT",
        f"document {document_id!r} exists and is not of this source; another --prefix keeps them apart",
    )


def _standing(row: Row) -> SubmissionResult:
    return SubmissionResult(document_id=row["id"], status=row["status"], job_id=row["last_job_id"])
