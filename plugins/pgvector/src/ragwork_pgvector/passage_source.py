"""What the index keeps, given back whole: for plugins that mirror it into an engine of their own."""

# ruff: noqa: S608 -- what enters the text are table names of vectors.py; every value is a parameter

from collections.abc import Sequence
from typing import Final

from ragwork_hooks.authz import ReadScope
from ragwork_hooks.retrieval import Chunk, IndexedDocument, IndexHit, IndexSnapshot, Passage
from ragwork_hooks.storage import Row, Transaction
from ragwork_toolkit.rows import from_row
from ragwork_toolkit.scope_sql import Parameters

from ragwork_pgvector.readers import scope_condition
from ragwork_pgvector.vectors import ALL_TABLES

_VECTORS: Final = " UNION ALL ".join(
    f"SELECT v.ordinal, v.embedding FROM {table} v WHERE v.generation = d.generation" for table in ALL_TABLES
)
# One row per chunk; a document without chunks gives one row whose ordinal is null.
_DOCUMENT: Final = f"""
SELECT d.generation, d.corpus_id, d.version, d.source, d.owner, d.embedder, d.language, d.metadata, d.labels,
    c.ordinal, c.chunk_id, c.digest, c.start_offset, c.end_offset, c.text, c.metadata AS own_metadata, v.embedding,
    CASE WHEN c.ordinal IS NULL OR c.ordinal = (
        SELECT min(ordinal) FROM pgvector.chunks f WHERE f.generation = d.generation
    ) THEN (
        SELECT coalesce(jsonb_object_agg(r.reader, r.expires_at), '{{}}') FROM pgvector.readers r
        WHERE r.document_id = d.document_id AND (r.expires_at IS NULL OR r.expires_at > now())
    ) END AS readers
FROM pgvector.documents d
LEFT JOIN pgvector.chunks c USING (generation)
LEFT JOIN LATERAL ({_VECTORS}) AS v ON v.ordinal = c.ordinal
WHERE d.document_id = $1
ORDER BY c.ordinal
"""
_IDS: Final = """
SELECT document_id FROM pgvector.documents WHERE document_id COLLATE "C" > $1
ORDER BY document_id COLLATE "C" LIMIT $2
"""


class LocalPassageSource:
    """Capability ``PassageSource`` over the schema ``pgvector``. Has no state."""

    async def document(self, tx: Transaction, document_id: str) -> IndexSnapshot | None:
        """The document with its vectors (in half precision) and unexpired readers. One round trip."""
        rows = await tx.fetch(_DOCUMENT, document_id)
        return _indexed(document_id, rows) if rows else None

    async def document_ids(self, tx: Transaction, after: str, limit: int) -> Sequence[str]:
        """The next ids in code point order. One round trip."""
        return [row["document_id"] for row in await tx.fetch(_IDS, after, limit)]

    async def passages(
        self, tx: Transaction, scope: ReadScope, hits: Sequence[IndexHit]
    ) -> Sequence[Passage]:
        """The passages of those hits that still exist within ``scope``, in their order. One round trip."""
        if not hits:
            return []
        p = Parameters()
        revisions = p.bind([hit.revision for hit in hits], "bigint[]")
        ordinals = p.bind([hit.ordinal for hit in hits], "integer[]")
        scores = p.bind([hit.score for hit in hits], "float8[]")
        rows = await tx.fetch(
            f"""SELECT d.document_id, c.chunk_id, c.text, h.score, d.source, d.version,
                c.start_offset, c.end_offset, d.language, d.metadata || c.metadata AS metadata,
                NULL::float8 AS relevance, NULL::float8 AS lexical, NULL::float8 AS semantic
            FROM unnest({revisions}, {ordinals}, {scores}) WITH ORDINALITY AS h (generation, ordinal, score, n)
            JOIN pgvector.documents d USING (generation)
            JOIN pgvector.chunks c USING (generation, ordinal)
            WHERE {scope_condition(scope, p)}
            ORDER BY h.n""",
            *p.values,
        )
        return [passage(row) for row in rows]


def _indexed(document_id: str, rows: Sequence[Row]) -> IndexSnapshot:
    first = rows[0]
    return IndexSnapshot(
        revision=first["generation"],
        document=IndexedDocument(
            document_id=document_id,
            corpus_id=first["corpus_id"],
            version=first["version"],
            source=first["source"],
            owner=first["owner"],
            embedder=first["embedder"],
            language=first["language"],
            chunks=[_chunk(row) for row in rows if row["ordinal"] is not None],
            metadata=first["metadata"],
            labels=first["labels"],
            readers=first["readers"],
        ),
    )


def _chunk(row: Row) -> Chunk:
    return Chunk(
        id=row["chunk_id"],
        ordinal=row["ordinal"],
        text=row["text"],
        start=row["start_offset"],
        end=row["end_offset"],
        digest=row["digest"],
        vector=row["embedding"].to_list(),
        metadata=row["own_metadata"],
    )


def passage(row: Row) -> Passage:
    """A found chunk: ``row`` has a passage's fields, its place in the text as ``start_offset`` and ``end_offset``."""
    return from_row(Passage, row, start=row["start_offset"], end=row["end_offset"], rerank=None)
