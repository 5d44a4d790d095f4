"""The statements that create documents and replace them."""

from collections.abc import Sequence
from typing import Final

from ragwork_documents.ingestion.submission import Submission


def submission_records(submissions: Sequence[Submission]) -> list[dict[str, object]]:
    """The rows of ``RECORD``."""
    return [
        {
            "id": s.document_id,
            "filename": s.filename,
            "content_type": s.content_type,
            "ingest_source": s.ingest_source,
            "fingerprint": s.fingerprint,
            "blob_key": s.blob_key,
            "metadata": s.metadata,
            "labels": s.labels,
            "chunk_size": s.chunk_size,
            "chunk_overlap": s.chunk_overlap,
            "is_parsed": s.is_parsed,
            "content_digest": s.content_digest,
            "origin": s.origin,
        }
        for s in submissions
    ]


RECORD: Final = """s(id text, filename text, content_type text, ingest_source text, fingerprint text,
    blob_key text, metadata jsonb, labels jsonb, chunk_size integer, chunk_overlap integer,
    is_parsed boolean, content_digest text, origin text)"""

#: Adds those that are new, by id against deadlocks, and their grants. Parameters: corpus, records, owner, readers.
CREATE: Final = f"""
WITH corpus AS (
    SELECT id, default_readers, readers_set_by FROM documents.corpora WHERE tenant_id = ragwork.tenant() AND id = $1
), created AS (
    INSERT INTO documents.documents (tenant_id, id, corpus_id, owner, filename, content_type, ingest_source,
        fingerprint, blob_key, metadata, labels, chunk_size, chunk_overlap, is_parsed,
        content_digest, origin)
    SELECT ragwork.tenant(), s.id, corpus.id, $3, s.filename, s.content_type, s.ingest_source,
        s.fingerprint, s.blob_key, s.metadata, s.labels, s.chunk_size, s.chunk_overlap,
        s.is_parsed, s.content_digest, s.origin
    FROM corpus CROSS JOIN jsonb_to_recordset($2::jsonb) AS {RECORD}
    ORDER BY s.id
    ON CONFLICT (tenant_id, id) DO NOTHING RETURNING id
), granted AS (
    INSERT INTO documents.grants (tenant_id, id, document_id, principal_type, principal_id, permission,
        granted_by)
    SELECT ragwork.tenant(), gen_random_uuid()::text, created.id, split_part(r.reader, ':', 1),
        substr(r.reader, strpos(r.reader, ':') + 1), r.permission, r.granted_by
    FROM created CROSS JOIN (
        SELECT 'user:' || $3 AS reader, 'owner' AS permission, $3 AS granted_by
        UNION SELECT unnest($4::text[]), 'read', $3
        UNION SELECT reader, 'read', readers_set_by FROM corpus, unnest(default_readers) AS reader
            WHERE reader <> ALL ($4::text[])
    ) AS r
)
SELECT EXISTS (SELECT FROM corpus) AS corpus_exists, ARRAY(SELECT id FROM created) AS created
"""  # noqa: S608  # a constant of this module

# ``requeue`` is volatile: it sees the rows as the update before it leaves them.
REPLACE: Final = f"""
WITH replaced AS (
    UPDATE documents.documents d SET filename = s.filename, content_type = s.content_type,
        ingest_source = s.ingest_source, fingerprint = s.fingerprint, blob_key = s.blob_key,
        metadata = s.metadata, labels = s.labels, chunk_size = s.chunk_size, chunk_overlap = s.chunk_overlap,
        is_parsed = s.is_parsed, content_digest = s.content_digest, origin = s.origin, parent_id = NULL,
        content_generation = d.generation + 1,
        warnings = '{{}}'
    FROM jsonb_to_recordset($1::jsonb) AS {RECORD}
    WHERE d.tenant_id = ragwork.tenant() AND d.id = s.id RETURNING d.id
)
SELECT id, generation FROM documents.requeue(ARRAY(SELECT id FROM replaced), false)
"""  # noqa: S608  # a constant of this module
