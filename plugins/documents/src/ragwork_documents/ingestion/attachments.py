"""Files within a file (a letter's attachments): documents of their own, below the one that they came in.

They have its owner, labels, metadata and grants, and are made anew whenever it is ingested.
"""

import hashlib
from collections.abc import Sequence
from typing import Final
from uuid import uuid4

import attrs
from ragwork_hooks.parsing import Attachment, DocumentParsing, ParseError
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction

from ragwork_documents.ingestion.erasure import DocumentErasure
from ragwork_documents.ingestion.ingest_payload import DocumentGeneration
from ragwork_documents.ingestion.stored_file import StoredFile, stored_file

#: Attachments of one file that are taken.
MAX_ATTACHMENTS: Final = 100
#: How deep files may stand in each other: a letter in a letter in a letter.
MAX_DEPTH: Final = 3
_MAX_ID: Final = 128


@attrs.frozen(kw_only=True)
class ReadableAttachments:
    """Attachments that somebody parses, and a sentence about each that nobody does."""

    files: Sequence[StoredFile] = ()
    warnings: Sequence[str] = ()


async def readable(
    parsing: DocumentParsing, tenant_id: str, attachments: Sequence[Attachment]
) -> ReadableAttachments:
    """Raises the ``ProviderError`` of the parsing."""
    files, warnings = [], []
    if len(attachments) > MAX_ATTACHMENTS:
        warnings.append(f"Of {len(attachments)} attachments the first {MAX_ATTACHMENTS} were taken")
    for attachment in attachments[:MAX_ATTACHMENTS]:
        try:
            files.append(
                await stored_file(
                    parsing, tenant_id, attachment.content, attachment.filename, attachment.media_type
                )
            )
        except ParseError as error:
            warnings.append(f"The attachment {attachment.filename} was left out: {error.message}")
    return ReadableAttachments(files=files, warnings=warnings)


class Attachments:
    """Puts documents below others, inside the caller's transaction."""

    def __init__(self, services: Services, erasure: DocumentErasure) -> None:
        self._services = services
        self._erasure = erasure

    async def put(
        self, tx: Transaction, parent_id: str, files: Sequence[StoredFile]
    ) -> Sequence[DocumentGeneration]:
        """Make ``files`` all that is attached to the locked document ``parent_id``; what is to be ingested of it."""
        before = await tx.fetch(
            """SELECT id FROM documents.documents WHERE tenant_id = ragwork.tenant() AND parent_id = $1
            ORDER BY id FOR UPDATE""",
            parent_id,
        )
        if before:
            await self._erasure.erase(tx, [row["id"] for row in before])
        if not files or await tx.fetchval(_DEPTH, parent_id) >= MAX_DEPTH:
            return []
        by_id = {_id(parent_id, number): file for number, file in enumerate(files, 1)}
        records = [_record(document_id, file) for document_id, file in by_id.items()]
        created = await tx.fetch(_PUT, parent_id, records)
        for row in created:
            await self._services.blob.put(tx, row["blob_key"], by_id[row["id"]].source)
        return [DocumentGeneration(document_id=row["id"], generation=1) for row in created]


def _id(parent_id: str, number: int) -> str:
    name = f"{parent_id}.attachment-{number}"
    if len(name) <= _MAX_ID:
        return name
    digest = hashlib.sha256(parent_id.encode()).hexdigest()[:16]
    return f"{parent_id[:80]}.{digest}.attachment-{number}"


def _record(document_id: str, file: StoredFile) -> dict[str, object]:
    return {
        "id": document_id,
        "filename": file.filename,
        "content_type": file.media_type,
        "is_parsed": file.is_parsed,
        "blob_key": f"documents/{uuid4().hex}",
        "content_digest": hashlib.sha256(file.source).hexdigest(),
    }


#: How many documents a document is within. Parameter: its id.
_DEPTH: Final = """
WITH RECURSIVE above AS (
    SELECT d.parent_id FROM documents.documents d WHERE d.tenant_id = ragwork.tenant() AND d.id = $1
    UNION ALL
    SELECT d.parent_id FROM above JOIN documents.documents d
        ON d.tenant_id = ragwork.tenant() AND d.id = above.parent_id
) SELECT count(parent_id) FROM above
"""

#: An id that somebody else's document has is left alone. Parameters: parent, records.
_PUT: Final = """
WITH parent AS (
    SELECT * FROM documents.documents WHERE tenant_id = ragwork.tenant() AND id = $1
), put AS (
    INSERT INTO documents.documents (tenant_id, id, corpus_id, owner, filename, content_type, ingest_source,
        is_parsed, fingerprint, blob_key, metadata, labels, chunk_size, chunk_overlap, content_digest, parent_id)
    SELECT parent.tenant_id, s.id, parent.corpus_id, parent.owner, s.filename, s.content_type, 'attachment',
        s.is_parsed, s.content_digest, s.blob_key, parent.metadata, parent.labels, parent.chunk_size,
        parent.chunk_overlap, s.content_digest, parent.id
    FROM parent CROSS JOIN jsonb_to_recordset($2::jsonb)
        AS s(id text, filename text, content_type text, is_parsed boolean, blob_key text, content_digest text)
    ORDER BY s.id
    ON CONFLICT (tenant_id, id) DO NOTHING RETURNING tenant_id, id, blob_key
), granted AS (
    INSERT INTO documents.grants (tenant_id, id, document_id, principal_type, principal_id, permission,
        granted_by, expires_at)
    SELECT put.tenant_id, gen_random_uuid()::text, put.id, g.principal_type, g.principal_id, g.permission,
        g.granted_by, g.expires_at
    FROM put JOIN documents.grants g ON g.tenant_id = put.tenant_id AND g.document_id = $1
)
SELECT id, blob_key FROM put
"""
