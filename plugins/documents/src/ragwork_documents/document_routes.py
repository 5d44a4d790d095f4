"""The routes under ``/v1/documents``."""

from collections.abc import Sequence
from typing import Final

from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import ReadScope, Resource
from ragwork_hooks.errors import not_found
from ragwork_hooks.http import AnyRoute, Empty, Request, Response
from ragwork_hooks.jobs import JobStatus
from ragwork_hooks.parsing import DocumentParsing
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Row, Transaction
from ragwork_toolkit.routes import read_route, write_route
from ragwork_toolkit.rows import from_row
from ragwork_toolkit.scope_sql import Parameters

from ragwork_documents.ingestion.document_service import DocumentService
from ragwork_documents.ingestion.submission import Overwrite, Submission, SubmissionResult
from ragwork_documents.ingestion.submission_requests import from_text, from_upload
from ragwork_documents.permissions import acl
from ragwork_documents.permissions.catalog import Catalog
from ragwork_documents.schemas import (
    DocumentAccepted,
    DocumentListQuery,
    DocumentResponse,
    Progress,
    ReindexRequest,
    TextIngestRequest,
    UploadForm,
)

_COLUMNS: Final = """d.id, d.tenant_id, d.corpus_id, d.filename, d.content_type, d.ingest_source, d.status,
    d.failure_reason, d.created_at, d.updated_at, d.queued_at, d.processing_started_at, d.completed_at,
    d.last_reindexed_at, d.last_job_id, d.num_chunks, d.language, d.phase, d.chunks_done, d.chunks_total,
    d.attempt, d.parent_id, d.warnings, d.content_digest"""


class Documents:
    """Reads documents within what the caller may read."""

    def __init__(self, services: Services, catalog: Catalog) -> None:
        self._services = services
        self._catalog = catalog

    async def page(
        self, tx: Transaction, principal: Principal, query: DocumentListQuery
    ) -> list[DocumentResponse]:
        """Readable documents, newest first. Raises ``Problem`` 404 for a corpus that does not exist."""
        p = Parameters()
        scope = await self._services.read_scope(principal, acl.READ)
        where = acl.scope_condition(scope, p)
        if query.corpus_id is not None:
            if await self._catalog.corpus(tx.tenant_id, query.corpus_id) is None:
                raise not_found("corpus", query.corpus_id)
            where += f" AND d.corpus_id = {p.bind(query.corpus_id, 'text')}"
        found = f"""SELECT {_COLUMNS} FROM documents.documents d
            WHERE d.tenant_id = ragwork.tenant() AND {where}
            ORDER BY d.created_at DESC, d.id
            LIMIT {p.bind(query.limit, "bigint")} OFFSET {p.bind(query.offset, "bigint")}"""  # noqa: S608  # placeholders
        rows = await tx.fetch(
            f"{_with_duplicate(found, scope, p)} ORDER BY o.created_at DESC, o.id", *p.values
        )
        return [_response(row, None) for row in rows]

    async def get(self, tx: Transaction, principal: Principal, document_id: str) -> DocumentResponse:
        """One document with its job's retry time while it waits. Raises ``Problem`` 404."""
        p = Parameters()
        found = f"""SELECT {_COLUMNS} FROM documents.documents d
            WHERE d.tenant_id = ragwork.tenant() AND d.id = {p.bind(document_id, "text")}"""  # noqa: S608
        scope = await self._services.read_scope(principal, acl.READ)
        row = await tx.fetchrow(_with_duplicate(found, scope, p), *p.values)
        if row is None:
            raise not_found("document", document_id)
        job: JobStatus | None = None
        if row["status"] in ("queued", "processing") and row["last_job_id"] is not None:
            job = await self._services.jobs.status(tx, row["last_job_id"])
        return _response(row, job)


def routes(
    documents: Documents,
    document_service: DocumentService,
    access: acl.DocumentAcl,
    parsing: DocumentParsing | None,
    max_bytes: int,
) -> tuple[AnyRoute, ...]:
    """The document routes; ``parsing`` tells files that are no text, ``max_bytes`` bounds bodies with content."""

    async def load(request: Request[object, object]) -> Resource:
        return await access.load(request.tx, request.principal, request.path["document_id"])

    async def list_(request: Request[Empty, DocumentListQuery]) -> list[DocumentResponse]:
        return await documents.page(request.tx, request.principal, request.query)

    async def get(request: Request[Empty, Empty]) -> DocumentResponse:
        return await documents.get(request.tx, request.principal, request.path["document_id"])

    async def upload(request: Request[UploadForm, Empty]) -> Response:
        submission = await from_upload(request.body, parsing, request.tx.tenant_id)
        return await _accept(request.tx, request.principal, request.body, submission)

    async def ingest_text(request: Request[TextIngestRequest, Empty]) -> Response:
        submission = from_text(request.body)
        return await _accept(request.tx, request.principal, request.body, submission)

    async def _accept(
        tx: Transaction,
        principal: Principal,
        body: UploadForm | TextIngestRequest,
        submission: Submission,
    ) -> Response:
        overwrite = Overwrite.ALWAYS if body.overwrite else Overwrite.NEVER
        outcomes: Sequence[SubmissionResult] = await document_service.accept(
            tx, principal, body.corpus_id, [submission], overwrite
        )
        if outcomes[0].refusal is not None:
            raise outcomes[0].refusal
        return _accepted(outcomes[0])

    async def reindex(request: Request[ReindexRequest, Empty]) -> Response:
        body = request.body
        outcome = await document_service.reindex(
            request.tx, request.path["document_id"], body.chunk_size_chars, body.chunk_overlap_chars
        )
        return _accepted(outcome)

    async def cancel(request: Request[Empty, Empty]) -> Response:
        document_id = request.path["document_id"]
        ended = await document_service.cancel(request.tx, document_id)
        return Response(data=await documents.get(request.tx, request.principal, document_id), changed=ended)

    async def delete(request: Request[Empty, Empty]) -> Response:
        await document_service.delete(request.tx, request.path["document_id"])
        return Response(status=204)

    return (
        read_route(
            name="documents.list", path="/v1/documents",
            summary="List the documents that the caller may read", handler=list_, action=acl.READ,
            response=list[DocumentResponse], query=DocumentListQuery, errors=("NOT_FOUND",), legacy=True,
        ),
        read_route(
            name="documents.get", path="/v1/documents/{document_id}",
            summary="One document and how far its ingestion is", handler=get, action=acl.READ,
            response=DocumentResponse, resource=load, errors=("AUTHZ_DENIED", "NOT_FOUND"), legacy=True,
        ),
        write_route(
            name="documents.upload", method="POST", path="/v1/documents", summary="Ingest a file",
            handler=upload, action=acl.WRITE, audit_event="documents.ingest.enqueued", idempotency="accepted",
            switch="ingest", response=DocumentAccepted, body=UploadForm, body_kind="multipart",
            body_limit=max_bytes, status=202,
            errors=("AUTHZ_DENIED", "CONFLICT", "INGEST_IN_PROGRESS", "INGEST_VALIDATION_ERROR",
                    "NOT_FOUND", "UNSUPPORTED_MEDIA_TYPE"),
            legacy=True,
        ),
        write_route(
            name="documents.ingest_text", method="POST", path="/v1/documents/text", summary="Ingest a text",
            handler=ingest_text, action=acl.WRITE, audit_event="documents.ingest.enqueued",
            idempotency="accepted", switch="ingest", response=DocumentAccepted, body=TextIngestRequest,
            body_limit=max_bytes, status=202,
            errors=("AUTHZ_DENIED", "CONFLICT", "INGEST_IN_PROGRESS", "INGEST_VALIDATION_ERROR", "NOT_FOUND"),
            legacy=True,
        ),
        write_route(
            name="documents.reindex", method="POST", path="/v1/documents/{document_id}/reindex",
            summary="Cut and embed a document anew; unchanged chunks keep their vectors", handler=reindex,
            action=acl.REINDEX, audit_event="documents.reindex.enqueued", idempotency="accepted",
            switch="ingest", response=DocumentAccepted, body=ReindexRequest, body_kind="optional_json",
            resource=load, status=202,
            errors=("AUTHZ_DENIED", "INGEST_IN_PROGRESS", "INGEST_SOURCE_MISSING", "NOT_FOUND"), legacy=True,
        ),
        write_route(
            name="documents.cancel", method="POST", path="/v1/documents/{document_id}/cancel",
            summary="End the ingestion of a document that is queued or processing", handler=cancel,
            action=acl.WRITE, audit_event="documents.ingest.cancelled", idempotency="accepted",
            response=DocumentResponse, resource=load, errors=("AUTHZ_DENIED", "NOT_FOUND"),
        ),
        write_route(
            name="documents.delete", method="DELETE", path="/v1/documents/{document_id}",
            summary="Delete a document with every copy", handler=delete, action=acl.DELETE,
            audit_event="documents.deleted", idempotency="accepted", response=None, resource=load, status=204,
            errors=("AUTHZ_DENIED", "INGEST_IN_PROGRESS", "NOT_FOUND"), legacy=True,
        ),
    )  # fmt: skip


def _with_duplicate(found: str, scope: ReadScope, p: Parameters) -> str:
    """``found``, each with ``duplicate_of``: the first document in ``scope`` with its content, if not itself."""
    return f"""SELECT o.*, first.id AS duplicate_of FROM ({found}) AS o LEFT JOIN LATERAL (
            SELECT d.id FROM documents.documents d
            WHERE d.tenant_id = ragwork.tenant() AND d.corpus_id = o.corpus_id
                AND d.content_digest = o.content_digest AND (d.created_at, d.id) < (o.created_at, o.id)
                AND {acl.scope_condition(scope, p)}
            ORDER BY d.created_at, d.id LIMIT 1
        ) AS first ON true"""  # noqa: S608  # placeholders


def _accepted(outcome: SubmissionResult) -> Response:
    """202 for work that was taken; 200 with how it stands for a document that is already there."""
    return Response(
        data=DocumentAccepted(
            document_id=outcome.document_id,
            status=outcome.status,
            job_id=outcome.job_id,
            status_url=f"/v1/documents/{outcome.document_id}",
        ),
        status=202 if outcome.fresh else 200,
        changed=outcome.fresh,
        audit=AuditDetails(resource_type="document", resource_id=outcome.document_id),
    )


def _response(row: Row, job: JobStatus | None) -> DocumentResponse:
    progress = from_row(
        Progress,
        row,
        attempt=row["attempt"] if job is None else max(job.attempt, row["attempt"]),
        next_attempt_at=None if job is None else job.next_attempt_at,
    )
    return from_row(DocumentResponse, row, source=row["filename"], progress=progress)
