"""The one place where it changes who may read: grants on documents, and a corpus' default readers.

Routes, commands and jobs call it. Catalogue, index and audit log change in one transaction.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import uuid4

import attrs
from ragwork_hooks.audit import AuditEvent, AuditLog
from ragwork_hooks.auth import Principal
from ragwork_hooks.errors import Problem, not_found
from ragwork_hooks.retrieval import Index
from ragwork_hooks.storage import Row, Transaction

from ragwork_documents.permissions import acl
from ragwork_documents.permissions.principals import NamedPrincipal, Principals
from ragwork_documents.schemas import DocumentPermissionRequest

COLUMNS: Final = (
    "id, tenant_id, document_id, principal_type, principal_id, permission, granted_by, expires_at, created_at"
)
_DEFAULT_PATH: Final = ("body", "provider_config_json", "acl", "default_readers")


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


@attrs.frozen(kw_only=True)
class Given:
    """Grants as they now stand, in the order asked, and the principals that were created for them."""

    grants: Sequence[Row]
    created: Sequence[str]


class Readers:
    """Changes grants and default readers inside the caller's transaction."""

    def __init__(self, index: Index, principals: Principals, log: AuditLog | None) -> None:
        self._index = index
        self._principals = principals
        self._log = log

    async def set_default(
        self, tx: Transaction, by: Principal, corpus_id: str, readers: Sequence[str], *, create: bool
    ) -> None:
        """Let ``readers`` (sorted, ``type:id``) read what is ingested into the locked corpus from now on.

        Raises ``Problem`` 422 for a new reader who does not exist. The right to do so is the caller's to judge.
        """
        before: list[str] = await tx.fetchval(
            "SELECT default_readers FROM documents.corpora WHERE tenant_id = ragwork.tenant() AND id = $1",
            corpus_id,
        )
        if before == list(readers):
            return
        added = [reader.partition(":") for reader in readers if reader not in before]
        named = [
            NamedPrincipal(kind=kind, id=name, path=_DEFAULT_PATH, create=create) for kind, _, name in added
        ]
        created = await self._principals.require(tx, named)
        await tx.execute(
            """UPDATE documents.corpora SET default_readers = $2, readers_set_by = $3, updated_at = now()
            WHERE tenant_id = ragwork.tenant() AND id = $1""",
            corpus_id,
            list(readers),
            by.user_id,
        )
        changed = {"from": before, "to": list(readers), "created": list(created)}
        await record(self._log, tx, by, "corpora.readers.updated", corpus_id, changed)

    async def give(
        self,
        tx: Transaction,
        by: Principal,
        document_id: str,
        requests: Sequence[DocumentPermissionRequest],
        paths: Sequence[Sequence[str | int]],
    ) -> Given:
        """Give all of ``requests`` on the document and what is attached to it; one that exists gets the new
        expiry. Raises ``Problem`` 404, 422; ``paths``
        are where each stands in the request.
        """
        named = [
            NamedPrincipal(
                kind=r.principal_type, id=r.principal_id, path=(*path, "principal_id"), create=r.create
            )
            for r, path in zip(requests, paths, strict=True)
        ]
        # The last of several for the same principal and permission counts.
        distinct = {(r.principal_type, r.principal_id, r.permission): r for r in requests}
        await self._lock(tx, document_id)
        created = await self._principals.require(tx, named)
        rows = await tx.fetch(
            f"""INSERT INTO documents.grants (tenant_id, id, document_id, principal_type, principal_id,
                permission, expires_at, granted_by)
            SELECT ragwork.tenant(), CASE WHEN f.id = $1 THEN r.id ELSE gen_random_uuid()::text END, f.id,
                r.principal_type, r.principal_id, r.permission, r.expires_at, $2
            FROM documents.family(ARRAY[$1]) f
            CROSS JOIN unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
                AS r(id, principal_type, principal_id, permission, expires_at)
            ON CONFLICT (tenant_id, document_id, reader, permission)
                DO UPDATE SET expires_at = EXCLUDED.expires_at, granted_by = EXCLUDED.granted_by
            RETURNING {COLUMNS}""",  # noqa: S608
            document_id,
            by.user_id,
            [uuid4().hex for _ in distinct],
            [r.principal_type for r in distinct.values()],
            [r.principal_id for r in distinct.values()],
            [r.permission for r in distinct.values()],
            [r.expires_at for r in distinct.values()],
        )
        await self._feed_index(tx, document_id)
        given = {
            (row["principal_type"], row["principal_id"], row["permission"]): row
            for row in rows
            if row["document_id"] == document_id
        }
        in_order = [given[(r.principal_type, r.principal_id, r.permission)] for r in requests]
        return Given(grants=in_order, created=created)

    async def revoke(self, tx: Transaction, document_id: str, permission_id: str) -> Row:
        """Take a grant back, and its likes on what is attached. Raises ``Problem`` 404
        ``AUTHZ_PERMISSION_NOT_FOUND``.
        """
        await self._lock(tx, document_id)
        row = await tx.fetchrow(
            f"""DELETE FROM documents.grants
            WHERE tenant_id = ragwork.tenant() AND document_id = $1 AND id = $2 RETURNING {COLUMNS}""",  # noqa: S608
            document_id,
            permission_id,
        )
        if row is None:
            raise Problem("AUTHZ_PERMISSION_NOT_FOUND", f"permission {permission_id!r} does not exist")
        await tx.execute(
            """DELETE FROM documents.grants WHERE tenant_id = ragwork.tenant()
                AND document_id IN (SELECT f.id FROM documents.family(ARRAY[$1]) f)
                AND principal_type = $2 AND principal_id = $3 AND permission = $4""",
            document_id,
            row["principal_type"],
            row["principal_id"],
            row["permission"],
        )
        await self._feed_index(tx, document_id)
        return row

    async def _lock(self, tx: Transaction, document_id: str) -> None:
        """Changes of one document's readers, and ingestion that reads them, take turns."""
        found = await tx.fetch(
            """SELECT id FROM documents.documents WHERE tenant_id = ragwork.tenant()
                AND id IN (SELECT f.id FROM documents.family(ARRAY[$1]) f) ORDER BY id FOR UPDATE""",
            document_id,
        )
        if not found:
            raise not_found("document", document_id)

    async def _feed_index(self, tx: Transaction, document_id: str) -> None:
        family = [
            row["id"] for row in await tx.fetch("SELECT f.id FROM documents.family(ARRAY[$1]) f", document_id)
        ]
        for changed, readers in (await readers_by_document(tx, family)).items():
            await self._index.set_readers(tx, changed, readers)


async def record(
    log: AuditLog | None,
    tx: Transaction,
    by: Principal,
    event: str,
    corpus_id: str,
    metadata: Mapping[str, object],
) -> None:
    """Write an effect on a corpus into the audit log, if there is one."""
    if log is None:
        return
    await log.append(
        tx,
        AuditEvent(
            type=event,
            outcome="success",
            actor_type=by.kind,
            actor_id=by.actor_id or by.credential_id,
            actor_role=by.role.label,
            resource_type="corpus",
            resource_id=corpus_id,
            metadata=metadata,
        ),
    )
