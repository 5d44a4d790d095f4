"""The original of a document, and its text: what a citation's ``start`` and ``end`` point into."""

from typing import Final
from urllib.parse import quote

import attrs
from ragwork_hooks.authz import Resource
from ragwork_hooks.errors import Problem, not_found
from ragwork_hooks.fields import number
from ragwork_hooks.http import AnyRoute, Empty, File, Page, Request
from ragwork_hooks.retrieval import Chunk, Index
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Row, Transaction
from ragwork_toolkit.paging import PageQuery, page_of
from ragwork_toolkit.routes import read_route
from ragwork_toolkit.rows import from_object

from ragwork_documents.ingestion.file_text import text_key
from ragwork_documents.permissions import acl

#: A document is somebody's, and what is in it may do anything in a browser that takes it for a page of ours.
_HEADERS: Final = {
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}


@attrs.frozen(kw_only=True)
class DocumentVersionQuery:
    """Which version of a document is wanted."""

    #: That of a citation; one whose content was replaced since is not found. Absent for the present one. Example: 1
    version: int | None = number(default=None, ge=1, le=2**31 - 1)


@attrs.frozen(kw_only=True)
class ChunkResponse:
    """A passage of a document, as the index keeps it."""

    #: The passage, as citations name it. Example: "leave:0"
    id: str
    #: Its place in the document, from 0. Example: 0
    ordinal: int
    #: What it says; a piece of a table begins with the table's header. Example: "Every employee has 30 days of leave."
    text: str
    #: Where it begins in the document's text, in characters. Example: 0
    start: int
    #: Where it ends. Example: 36
    end: int
    #: Where in a file it stands: page, slide, sheet, cells, headings. Example: {"page": 3}
    metadata: dict[str, object]


class DocumentContents:
    """Reads the blobs of a document that the caller may read."""

    def __init__(self, services: Services, index: Index) -> None:
        self._services = services
        self._index = index

    async def original(self, tx: Transaction, document_id: str, version: int | None) -> File:
        """The file as it was uploaded. Raises ``Problem`` 404, also for a source that is gone."""
        row = await _row(tx, document_id, version)
        data = await self._services.blob.get(tx, row["blob_key"])
        if data is None:
            raise not_found("content of document", document_id)
        name = f"attachment; filename*=UTF-8''{quote(row['filename'], safe='')}"
        return File(data=data, mime=row["content_type"], headers={**_HEADERS, "Content-Disposition": name})

    async def chunks(self, tx: Transaction, document_id: str, query: PageQuery) -> Page[ChunkResponse]:
        """A window of the passages that the index has of it."""
        found = await self._index.chunks(tx, document_id, query.offset, query.limit + 1)
        return page_of([_chunk(each) for each in found], query)

    async def text(self, tx: Transaction, document_id: str, version: int | None) -> File:
        """The text that passages are cut from. Raises ``Problem`` 404, also for a file that is not read yet."""
        row = await _row(tx, document_id, version)
        key = text_key(row["blob_key"]) if row["is_parsed"] else row["blob_key"]
        data = await self._services.blob.get(tx, key)
        if data is None:
            raise not_found("text of document", document_id)
        return File(data=data, mime="text/plain; charset=utf-8", headers=_HEADERS)


async def _row(tx: Transaction, document_id: str, version: int | None) -> Row:
    """The document, if its content is still that of ``version``: another text would make a citation lie."""
    row = await tx.fetchrow(
        """SELECT blob_key, filename, content_type, is_parsed, generation, content_generation
        FROM documents.documents
        WHERE tenant_id = ragwork.tenant() AND id = $1""",
        document_id,
    )
    if row is None:
        raise not_found("document", document_id)
    if version is not None and not row["content_generation"] <= version <= row["generation"]:
        raise Problem(
            "NOT_FOUND",
            f"version {version} of document {document_id!r} is gone: it is at {row['generation']} now",
        )
    return row


def routes(contents: DocumentContents, access: acl.DocumentAcl) -> tuple[AnyRoute, ...]:
    """The routes under one document."""

    async def load(request: Request[object, object]) -> Resource:
        return await access.load(request.tx, request.principal, request.path["document_id"])

    async def original(request: Request[Empty, DocumentVersionQuery]) -> File:
        return await contents.original(request.tx, request.path["document_id"], request.query.version)

    async def text(request: Request[Empty, DocumentVersionQuery]) -> File:
        return await contents.text(request.tx, request.path["document_id"], request.query.version)

    async def chunks(request: Request[Empty, PageQuery]) -> Page[ChunkResponse]:
        return await contents.chunks(request.tx, request.path["document_id"], request.query)

    return (
        read_route(
            name="documents.content", path="/v1/documents/{document_id}/content",
            summary="The file as it was uploaded", handler=original, action=acl.READ, response=None,
            query=DocumentVersionQuery,
            resource=load, errors=("AUTHZ_DENIED", "NOT_FOUND"),
        ),
        read_route(
            name="documents.text", path="/v1/documents/{document_id}/text",
            summary="The text that citations point into", handler=text, action=acl.READ, response=None,
            query=DocumentVersionQuery,
            resource=load, errors=("AUTHZ_DENIED", "NOT_FOUND"),
        ),
        read_route(
            name="documents.chunks", path="/v1/documents/{document_id}/chunks",
            summary="The passages that the document was cut into", handler=chunks, action=acl.READ,
            response=Page[ChunkResponse], query=PageQuery, resource=load,
            errors=("AUTHZ_DENIED", "NOT_FOUND"),
        ),
    )  # fmt: skip


def _chunk(chunk: Chunk) -> ChunkResponse:
    return from_object(ChunkResponse, chunk, metadata=dict(chunk.metadata))
