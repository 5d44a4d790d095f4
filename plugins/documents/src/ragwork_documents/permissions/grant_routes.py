"""The routes of grants on documents: given, listed and revoked by administrators."""

from typing import Final

from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.authz import Resource
from ragwork_hooks.http import AnyRoute, Empty, Request, Response
from ragwork_hooks.storage import Row, Transaction
from ragwork_toolkit.paging import PageQuery
from ragwork_toolkit.routes import read_route, write_route
from ragwork_toolkit.rows import from_row

from ragwork_documents.permissions import acl
from ragwork_documents.permissions.readers import COLUMNS, Given, Readers
from ragwork_documents.schemas import (
    DocumentPermissionBulkRequest,
    DocumentPermissionBulkResponse,
    DocumentPermissionList,
    DocumentPermissionRequest,
    DocumentPermissionResponse,
)

_PATH: Final = "/v1/admin/authz/documents/{document_id}/permissions"


async def page(
    tx: Transaction, document_id: str, *, limit: int, offset: int
) -> list[DocumentPermissionResponse]:
    """A window of the grants on the document, oldest first."""
    rows = await tx.fetch(
        f"""SELECT {COLUMNS} FROM documents.grants
        WHERE tenant_id = ragwork.tenant() AND document_id = $1 ORDER BY created_at, id
        LIMIT $2 OFFSET $3""",  # noqa: S608
        document_id,
        limit,
        offset,
    )
    return [_response(row) for row in rows]


def routes(readers: Readers, access: acl.DocumentAcl) -> tuple[AnyRoute, ...]:
    """The routes under ``/v1/admin/authz/documents/{document_id}/permissions``."""

    async def load(request: Request[object, object]) -> Resource:
        return await access.load(request.tx, request.principal, request.path["document_id"])

    async def list_(request: Request[Empty, PageQuery]) -> DocumentPermissionList:
        query = request.query
        found = await page(request.tx, request.path["document_id"], limit=query.limit, offset=query.offset)
        return DocumentPermissionList(items=found)

    async def give(request: Request[DocumentPermissionRequest, Empty]) -> Response:
        document_id = request.path["document_id"]
        given = await readers.give(request.tx, request.principal, document_id, [request.body], [["body"]])
        return Response(data=_response(given.grants[0]), status=201, audit=_note(document_id, given))

    async def bulk(request: Request[DocumentPermissionBulkRequest, Empty]) -> Response:
        document_id, asked = request.path["document_id"], request.body.permissions
        paths: list[list[str | int]] = [["body", "permissions", number] for number in range(len(asked))]
        given = await readers.give(request.tx, request.principal, document_id, asked, paths)
        data = DocumentPermissionBulkResponse(items=[_response(row) for row in given.grants])
        return Response(data=data, status=201, audit=_note(document_id, given))

    async def revoke(request: Request[Empty, Empty]) -> DocumentPermissionResponse:
        row = await readers.revoke(request.tx, request.path["document_id"], request.path["permission_id"])
        return _response(row)

    return (
        read_route(
            name="documents.permissions.list", path=_PATH, summary="Grants on a document", handler=list_,
            action=acl.ADMINISTER, response=DocumentPermissionList, query=PageQuery, resource=load,
            errors=("NOT_FOUND",), legacy=True,
        ),
        write_route(
            name="documents.permissions.give", method="POST", path=_PATH,
            summary="Give a grant on a document", handler=give, action=acl.ADMINISTER,
            audit_event="authz.permission.granted", idempotency="accepted",
            response=DocumentPermissionResponse, body=DocumentPermissionRequest, resource=load, status=201,
            errors=("NOT_FOUND",), legacy=True,
        ),
        write_route(
            name="documents.permissions.bulk", method="POST", path=f"{_PATH}/bulk",
            summary="Give several grants on a document, all or none", handler=bulk, action=acl.ADMINISTER,
            audit_event="authz.permission.granted", idempotency="accepted",
            response=DocumentPermissionBulkResponse, body=DocumentPermissionBulkRequest, resource=load,
            status=201, errors=("NOT_FOUND",), legacy=True,
        ),
        write_route(
            name="documents.permissions.revoke", method="DELETE", path=f"{_PATH}/{{permission_id}}",
            summary="Take a grant back", handler=revoke, action=acl.ADMINISTER,
            audit_event="authz.permission.revoked", idempotency="accepted",
            response=DocumentPermissionResponse, resource=load,
            errors=("AUTHZ_PERMISSION_NOT_FOUND", "NOT_FOUND"), legacy=True,
        ),
    )  # fmt: skip


def _response(row: Row) -> DocumentPermissionResponse:
    return from_row(DocumentPermissionResponse, row)


def _note(document_id: str, given: Given) -> AuditDetails:
    """Who may do what from now on, and whom the grants brought into being."""
    granted = [f"{row['principal_type']}:{row['principal_id']} {row['permission']}" for row in given.grants]
    metadata = {"granted": granted, "created": list(given.created)}
    return AuditDetails(resource_type="document", resource_id=document_id, metadata=metadata)
