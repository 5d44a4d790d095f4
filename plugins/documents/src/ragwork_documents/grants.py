"""Grants on documents: given, listed and revoked by administrators, and fed to the index at once."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import uuid4

from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.authz import Resource
from ragwork_hooks.errors import Problem, not_found
from ragwork_hooks.http import AnyRoute, Call, NoFields, Route
from ragwork_hooks.retrieval import Index
from ragwork_hooks.storage import Row, Transaction

from ragwork_documents import acl
from ragwork_documents.hostile import invalid
from ragwork_documents.shapes import (
    DocumentPermissionBulkRequest,
    DocumentPermissionBulkResponse,
    DocumentPermissionList,
    DocumentPermissionRequest,
    DocumentPermissionResponse,
)

_PATH: Final = "/v1/admin/authz/documents/{document_id}/permissions"
_COLUMNS: Final = (
    "id, tenant_id, document_id, principal_type, principal_id, permission, granted_by, expires_at, created_at"
)


async def readers_by_document(
    tx: Transaction, document_ids: Sequence[str]
) -> Mapping[str, Mapping[str, str | None]]:
    """Document → reader → expiry (ISO 8601, ``None`` for never): the longest of the reader's grants."""
    rows = await tx.fetch(
        """SELECT document_id, reader,
            CASE WHEN bool_or(expires_at IS NULL) THEN NULL ELSE max(expires_at) END AS expires_at
        FROM documents.grants
        WHERE tenant_id = ragwork.tenant() AND document_id = ANY($1::text[]) AND permission = ANY($2::text[])
        GROUP BY document_id, reader""",
        list(document_ids),
        acl.READ_GRANTS,
    )
    readers: dict[str, dict[str, str | None]] = {document_id: {} for document_id in document_ids}
    for row in rows:
        expiry = row["expires_at"]
        readers[row["document_id"]][row["reader"]] = None if expiry is None else expiry.isoformat()
    return readers


class Grants:
    """Changes grants; catalogue and index change in the same transaction."""

    def __init__(self, index: Index) -> None:
        self._index = index

    async def page(self, tx: Transaction, document_id: str) -> list[DocumentPermissionResponse]:
        """All grants on the document, oldest first."""
        rows = await tx.fetch(
            f"""SELECT {_COLUMNS} FROM documents.grants
            WHERE tenant_id = ragwork.tenant() AND document_id = $1 ORDER BY created_at, id""",  # noqa: S608
            document_id,
        )
        return [_response(row) for row in rows]

    async def give(
        self,
        tx: Transaction,
        principal: Principal,
        document_id: str,
        requests: Sequence[DocumentPermissionRequest],
    ) -> list[DocumentPermissionResponse]:
        """Give all of ``requests``; one that exists gets the new expiry. Raises ``Problem`` 404, 422."""
        for request in requests:
            _check_principal(request, tx.tenant_id)
        # The last of several for the same principal and permission counts.
        distinct = {(r.principal_type, r.principal_id, r.permission): r for r in requests}
        await self._lock(tx, document_id)
        rows = await tx.fetch(
            f"""INSERT INTO documents.grants (tenant_id, id, document_id, principal_type, principal_id,
                permission, expires_at, granted_by)
            SELECT ragwork.tenant(), r.id, $1, r.principal_type, r.principal_id, r.permission,
                r.expires_at, $2
            FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
                AS r(id, principal_type, principal_id, permission, expires_at)
            ON CONFLICT (tenant_id, document_id, reader, permission)
                DO UPDATE SET expires_at = EXCLUDED.expires_at, granted_by = EXCLUDED.granted_by
            RETURNING {_COLUMNS}""",  # noqa: S608
            document_id,
            principal.user_id,
            [uuid4().hex for _ in distinct],
            [r.principal_type for r in distinct.values()],
            [r.principal_id for r in distinct.values()],
            [r.permission for r in distinct.values()],
            [r.expires_at for r in distinct.values()],
        )
        await self._feed_index(tx, document_id)
        given = {(row["principal_type"], row["principal_id"], row["permission"]): row for row in rows}
        return [_response(given[(r.principal_type, r.principal_id, r.permission)]) for r in requests]

    async def revoke(
        self, tx: Transaction, document_id: str, permission_id: str
    ) -> DocumentPermissionResponse:
        """Take a grant back. Raises ``Problem`` 404 ``AUTHZ_PERMISSION_NOT_FOUND``."""
        await self._lock(tx, document_id)
        row = await tx.fetchrow(
            f"""DELETE FROM documents.grants
            WHERE tenant_id = ragwork.tenant() AND document_id = $1 AND id = $2 RETURNING {_COLUMNS}""",  # noqa: S608
            document_id,
            permission_id,
        )
        if row is None:
            raise Problem("AUTHZ_PERMISSION_NOT_FOUND", f"permission {permission_id!r} does not exist")
        await self._feed_index(tx, document_id)
        return _response(row)

    async def _lock(self, tx: Transaction, document_id: str) -> None:
        """Changes of one document's readers, and ingestion that reads them, take turns."""
        found = await tx.fetchval(
            "SELECT id FROM documents.documents WHERE tenant_id = ragwork.tenant() AND id = $1 FOR UPDATE",
            document_id,
        )
        if found is None:
            raise not_found("document", document_id)

    async def _feed_index(self, tx: Transaction, document_id: str) -> None:
        readers = await readers_by_document(tx, [document_id])
        await self._index.set_readers(tx, document_id, readers[document_id])


def routes(grants: Grants, access: acl.DocumentAcl) -> tuple[AnyRoute, ...]:
    """The routes under ``/v1/admin/authz/documents/{document_id}/permissions``."""

    async def load(call: Call[object, object]) -> Resource:
        return await access.load(call.tx, call.principal, call.path["document_id"])

    async def list_(call: Call[NoFields, NoFields]) -> DocumentPermissionList:
        return DocumentPermissionList(items=await grants.page(call.tx, call.path["document_id"]))

    async def give(call: Call[DocumentPermissionRequest, NoFields]) -> DocumentPermissionResponse:
        document_id = call.path["document_id"]
        return (await grants.give(call.tx, call.principal, document_id, [call.body]))[0]

    async def bulk(
        call: Call[DocumentPermissionBulkRequest, NoFields],
    ) -> DocumentPermissionBulkResponse:
        document_id, asked = call.path["document_id"], call.body.permissions
        items = await grants.give(call.tx, call.principal, document_id, asked)
        return DocumentPermissionBulkResponse(items=items)

    async def revoke(call: Call[NoFields, NoFields]) -> DocumentPermissionResponse:
        return await grants.revoke(call.tx, call.path["document_id"], call.path["permission_id"])

    return (
        Route(
            name="authz.permissions.list", method="GET", path=_PATH, summary="Grants on a document",
            handler=list_, scope="tenant", action=acl.ADMINISTER, rate_class="read", idempotency="none",
            audit_event=None, feature=None, stale_reads=False, transaction="read",
            response=DocumentPermissionList, resource=load, errors=("NOT_FOUND",), legacy=True,
        ),
        Route(
            name="authz.permissions.give", method="POST", path=_PATH, summary="Give a grant on a document",
            handler=give, scope="tenant", action=acl.ADMINISTER, rate_class="mutation",
            idempotency="accepted", audit_event="authz.permission.granted", feature=None,
            stale_reads=False, transaction="write", response=DocumentPermissionResponse,
            body=DocumentPermissionRequest, body_kind="json", resource=load, status=201,
            errors=("NOT_FOUND",), legacy=True,
        ),
        Route(
            name="authz.permissions.bulk", method="POST", path=f"{_PATH}/bulk",
            summary="Give several grants on a document, all or none", handler=bulk, scope="tenant",
            action=acl.ADMINISTER, rate_class="mutation", idempotency="accepted",
            audit_event="authz.permission.granted", feature=None, stale_reads=False,
            transaction="write", response=DocumentPermissionBulkResponse,
            body=DocumentPermissionBulkRequest, body_kind="json", resource=load, status=201,
            errors=("NOT_FOUND",), legacy=True,
        ),
        Route(
            name="authz.permissions.revoke", method="DELETE", path=f"{_PATH}/{{permission_id}}",
            summary="Take a grant back", handler=revoke, scope="tenant", action=acl.ADMINISTER,
            rate_class="mutation", idempotency="accepted", audit_event="authz.permission.revoked",
            feature=None, stale_reads=False, transaction="write", response=DocumentPermissionResponse,
            resource=load, errors=("AUTHZ_PERMISSION_NOT_FOUND", "NOT_FOUND"), legacy=True,
        ),
    )  # fmt: skip


def _check_principal(request: DocumentPermissionRequest, tenant_id: str) -> None:
    path: list[str | int] = ["body", "principal_id"]
    if not request.principal_id.isprintable():
        raise invalid(path, "must not contain control characters")
    if request.principal_type == "tenant" and request.principal_id != tenant_id:
        raise invalid(path, "must be the id of your own tenant")
    if request.principal_type == "role":
        try:
            Role.parse(request.principal_id)
        except ValueError as error:
            raise invalid(path, str(error), "literal_error") from None


def _response(row: Row) -> DocumentPermissionResponse:
    return DocumentPermissionResponse(**row)
