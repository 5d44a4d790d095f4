"""Writing the index: a document's generations are swapped whole, inside the caller's transaction."""

# ruff: noqa: S608 -- what enters the text are table names of vectors.py; every value is a parameter

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Final

from ragwork_hooks.errors import ProviderError
from ragwork_hooks.events import Event, Events
from ragwork_hooks.retrieval import INDEX_CHANGED, Chunk, IndexedDocument
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.rows import from_row
from ragwork_toolkit.text.analysers import VERSION, analyser_of

from ragwork_pgvector.terms import Postings
from ragwork_pgvector.vectors import ALL_TABLES, VectorTable, packed, table_of

#: Writers of one document queue here. Taken in a statement of its own, so that the next one's
#: snapshot already sees what the writer before committed.
LOCK: Final = """
SELECT pg_advisory_xact_lock(hashtextextended('pgvector ' || ragwork.tenant() || ' ' || id, 0))
FROM (SELECT DISTINCT unnest($1::text[]) COLLATE "C" AS id ORDER BY id) AS wanted
"""
_KNOWN = """
SELECT DISTINCT c.digest FROM pgvector.documents d JOIN pgvector.chunks c USING (tenant_id, generation)
WHERE d.document_id = $1 AND d.embedder = $2
"""
_CHUNKS = """
SELECT c.chunk_id AS id, c.ordinal, c.text, c.start_offset AS start, c.end_offset AS "end", c.digest, c.metadata
FROM pgvector.documents d JOIN pgvector.chunks c USING (tenant_id, generation)
WHERE d.document_id = $1 AND c.ordinal >= $2 ORDER BY c.ordinal LIMIT $3
"""
_STORED = "SELECT embedder, dimension FROM pgvector.documents WHERE document_id = $1"
#: CTEs that make the given readers a document's only ones. Parameters: document, readers, their ends.
_READERS = """
gone_readers AS (
    DELETE FROM pgvector.readers WHERE document_id = $1 AND NOT reader = ANY($2::text[])
),
new_readers AS (
    INSERT INTO pgvector.readers (tenant_id, document_id, reader, expires_at)
    SELECT ragwork.tenant(), $1, r.reader, r.expires_at
    FROM unnest($2::text[], $3::timestamptz[]) AS r (reader, expires_at)
    ON CONFLICT (tenant_id, reader, document_id) DO UPDATE SET expires_at = EXCLUDED.expires_at
    WHERE readers.expires_at IS DISTINCT FROM EXCLUDED.expires_at
)
"""


class LocalIndex:
    """Capability ``Index`` over the schema ``pgvector``. Has no state: everything is in the transaction.

    Each change publishes ``INDEX_CHANGED`` for whoever mirrors the index: one round trip more, and none
    when nobody does. The lock makes the order of the events that of the commits.
    """

    def __init__(self, events: Events) -> None:
        self._events = events

    async def known(self, tx: Transaction, document_id: str, embedder: str) -> frozenset[str]:
        """Digests of the document's chunks that have a vector of ``embedder``."""
        return frozenset(row["digest"] for row in await tx.fetch(_KNOWN, document_id, embedder))

    async def replace(self, tx: Transaction, document: IndexedDocument) -> None:
        """Swap in the new version atomically; two round trips.

        Raises ``ProviderError`` EMBEDDING_DIMENSION_MISMATCH when the chunks' vectors differ in
        length, and when a chunk without a vector can't take it over from the version before.
        """
        analyser = analyser_of(document.language)
        texts = [(chunk.ordinal, chunk.text) for chunk in document.chunks]
        postings = await asyncio.to_thread(Postings.of, texts, analyser)
        await tx.execute(LOCK, [document.document_id])
        dimension = await self._dimension(tx, document)
        table = table_of(dimension) if dimension else None
        await tx.execute(
            _swap(table),
            document.document_id,
            *_granted(document.readers),
            document.corpus_id,
            document.version,
            document.source,
            document.owner,
            document.embedder,
            dimension,
            dict(document.metadata),
            dict(document.labels),
            document.language,
            analyser,
            VERSION,
            postings.ordinals,
            postings.terms,
            postings.frequencies,
            *_columns(document.chunks),
        )
        await self._publish(tx, [document.document_id])

    async def set_readers(self, tx: Transaction, document_id: str, readers: Mapping[str, str | None]) -> None:
        """Replace who may read; vectors are not touched. Two round trips."""
        await tx.execute(LOCK, [document_id])
        await tx.execute(f"WITH {_READERS} SELECT", document_id, *_granted(readers))
        await self._publish(tx, [document_id])

    async def delete(self, tx: Transaction, document_ids: Sequence[str]) -> None:
        """Remove the documents with everything derived from them. Two round trips."""
        await tx.execute(LOCK, list(document_ids))
        await tx.execute(_delete(), list(document_ids))
        await self._publish(tx, document_ids)

    async def chunks(self, tx: Transaction, document_id: str, start: int, limit: int) -> Sequence[Chunk]:
        """Chunks from ordinal ``start``, without their vectors. One round trip."""
        rows = await tx.fetch(_CHUNKS, document_id, start, limit)
        return [from_row(Chunk, row, vector=None) for row in rows]

    async def _publish(self, tx: Transaction, document_ids: Sequence[str]) -> None:
        for document_id in document_ids:
            payload = {"document_id": document_id}
            await self._events.publish(tx, Event(type=INDEX_CHANGED, key=document_id, payload=payload))

    async def _dimension(self, tx: Transaction, document: IndexedDocument) -> int:
        """The one length of the document's vectors, 0 for a document without chunks."""
        lengths = {len(chunk.vector) for chunk in document.chunks if chunk.vector is not None}
        if any(chunk.vector is None for chunk in document.chunks):
            stored = await tx.fetchrow(_STORED, document.document_id)
            if stored is None or stored["embedder"] != document.embedder:
                raise ProviderError(
                    "EMBEDDING_DIMENSION_MISMATCH",
                    f"chunks of {document.document_id!r} come without a vector, and no version"
                    f" of {document.embedder!r} is stored",
                )
            lengths.add(stored["dimension"])
        if len(lengths) > 1:
            raise ProviderError(
                "EMBEDDING_DIMENSION_MISMATCH",
                f"vectors of {document.document_id!r} differ in length: {sorted(lengths)}",
            )
        return lengths.pop() if lengths else 0


def _granted(readers: Mapping[str, str | None]) -> tuple[list[str], list[datetime | None]]:
    times = [None if at is None else datetime.fromisoformat(at) for at in readers.values()]
    if any(at is not None and at.tzinfo is None for at in times):
        raise ValueError("a reader's expiry needs an offset, such as 2030-01-01T00:00:00+00:00")
    return list(readers), times


def _columns(chunks: Sequence[Chunk]) -> Iterator[Sequence[object]]:
    rows = [(c.ordinal, c.id, c.digest, c.start, c.end, c.text, dict(c.metadata)) for c in chunks]
    yield from ([row[i] for row in rows] for i in range(7))
    yield [None if c.vector is None else packed(c.vector) for c in chunks]


#: CTEs that write a new generation; ``old`` still reads the one before, as all see the statement's snapshot.
_SWAP = """
old AS (SELECT generation FROM pgvector.documents WHERE document_id = $1),
counted AS MATERIALIZED (
    SELECT * FROM unnest($15::integer[], $16::text[], $17::integer[]) AS p (ordinal, term, frequency)
),
lengths AS MATERIALIZED (
    SELECT ordinal, sum(frequency)::integer AS length FROM counted GROUP BY ordinal
),
document AS (
    INSERT INTO pgvector.documents AS d (
        tenant_id, document_id, generation, corpus_id, version, source, owner, embedder, dimension,
        metadata, labels, language, analyser, analysis, chunks, terms
    )
    SELECT ragwork.tenant(), $1, nextval('pgvector.generations'), $4, $5, $6, $7, $8, $9, $10::jsonb,
        $11::jsonb, $12, $13, $14, cardinality($18::integer[]),
        coalesce((SELECT sum(length) FROM lengths), 0)
    ON CONFLICT (tenant_id, document_id) DO UPDATE SET
        generation = EXCLUDED.generation, corpus_id = EXCLUDED.corpus_id, version = EXCLUDED.version,
        source = EXCLUDED.source, owner = EXCLUDED.owner, embedder = EXCLUDED.embedder,
        dimension = EXCLUDED.dimension, metadata = EXCLUDED.metadata, labels = EXCLUDED.labels,
        language = EXCLUDED.language, analyser = EXCLUDED.analyser, analysis = EXCLUDED.analysis,
        chunks = EXCLUDED.chunks, terms = EXCLUDED.terms
    RETURNING d.generation
),
piece AS (
    SELECT * FROM unnest(
        $18::integer[], $19::text[], $20::text[], $21::integer[], $22::integer[], $23::text[], $24::jsonb[],
        $25::public.halfvec[]
    ) AS c (ordinal, chunk_id, digest, start_offset, end_offset, text, metadata, vector)
),
new_chunks AS (
    INSERT INTO pgvector.chunks (
        tenant_id, generation, ordinal, chunk_id, digest, start_offset, end_offset, text, metadata
    )
    SELECT ragwork.tenant(), document.generation, p.ordinal, p.chunk_id, p.digest, p.start_offset,
        p.end_offset, p.text, p.metadata
    FROM piece p, document
),
new_postings AS (
    INSERT INTO pgvector.postings (tenant_id, term, generation, ordinal, length, frequency)
    SELECT ragwork.tenant(), pgvector.term($4, c.term), document.generation, c.ordinal, l.length,
        c.frequency
    FROM document, counted c JOIN lengths l USING (ordinal)
)"""

# A missing vector stays null where the version before has none of that digest either; NOT NULL refuses it.
_NEW_VECTORS = """,
new_vectors AS (
    INSERT INTO {table.name} (tenant_id, generation, ordinal, embedding)
    SELECT ragwork.tenant(), document.generation, p.ordinal, coalesce(p.vector::{table.type}, (
        SELECT v.embedding
        FROM old JOIN pgvector.chunks c USING (generation) JOIN {table.name} v USING (generation, ordinal)
        WHERE c.digest = p.digest LIMIT 1
    ))
    FROM piece p, document
)"""


@cache
def _swap(table: VectorTable | None) -> str:
    vectors = "" if table is None else _NEW_VECTORS.format(table=table)
    return f"WITH {_SWAP}{vectors},{_gone('old')},{_READERS} SELECT count(*) FROM document"


@cache
def _delete() -> str:
    return f"""
WITH gone AS (DELETE FROM pgvector.documents WHERE document_id = ANY($1::text[]) RETURNING generation),
gone_readers AS (DELETE FROM pgvector.readers WHERE document_id = ANY($1::text[])),
{_gone("gone")}
SELECT count(*) FROM gone"""


def _gone(generations: str) -> str:
    """CTEs that delete all rows of the generations that the CTE of that name yields."""
    tables = ("pgvector.chunks", "pgvector.postings", *ALL_TABLES)
    return ",".join(
        f"\ngone_{n} AS (DELETE FROM {table} t USING {generations} g WHERE t.generation = g.generation)"
        for n, table in enumerate(tables)
    )
