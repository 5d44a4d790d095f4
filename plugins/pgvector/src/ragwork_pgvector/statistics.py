"""What is kept of each corpus, so that no query counts it: the chunks of each access list, and in how many of them each
term stands.

Counted anew once a tenth of a corpus is new, and daily where anything is. Lists with less than a hundredth of a corpus
are counted together as nobody's.
"""

# ruff: noqa: S608 -- what enters the text are constants; every value is a parameter

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final

import attrs
from ragwork_hooks.auth import Directory
from ragwork_hooks.authz import Everything, ReadableBy, ReadScope
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Cache, Database, Row, Transaction
from ragwork_toolkit.tenants import visit

from ragwork_pgvector.question import Question
from ragwork_pgvector.vectors import VectorTable

#: Chunks below which a caller's rights are cheaper asked first.
BROAD_CHUNKS: Final = 2_000
#: Least share of the corpus that a caller must be able to read for rights to be asked of what is found.
BROAD_SHARE: Final = 0.2
#: Least share of a table's vectors that must be readable for the graph: below, most of a walk is wasted.
GRAPH_SHARE: Final = 0.2
#: Chunks that terms are counted in: of a larger corpus, a sample.
SAMPLE: Final = 50_000
#: Terms in fewer chunks are counted by each query.
COUNTED: Final = 50
#: How old what a process knows of a corpus may be.
CACHE_TTL_S: Final = 60

#: Of the corpora that need it. What is erased is noticed with the next that is indexed.
_OUTDATED: Final = """
WITH kept AS (
    SELECT corpus_id, sum(documents) AS documents, max(generation) AS generation, min(counted_at) AS counted_at
    FROM pgvector.corpus_statistics GROUP BY corpus_id
)
SELECT d.corpus_id FROM pgvector.documents d LEFT JOIN kept k USING (corpus_id)
WHERE d.generation > coalesce((SELECT min(generation) FROM kept), 0) AND d.generation > coalesce(k.generation, 0)
GROUP BY d.corpus_id, k.documents, k.counted_at
HAVING count(*) >= coalesce(k.documents, 0) / 10 OR k.counted_at < now() - interval '1 day'
UNION SELECT corpus_id FROM kept k
WHERE NOT EXISTS (SELECT FROM pgvector.documents d WHERE d.corpus_id = k.corpus_id)
"""
_LOCK: Final = """
SELECT pg_advisory_xact_lock(hashtextextended('pgvector statistics ' || ragwork.tenant() || ' ' || $1, 0))
"""
_NOBODYS: Final = "'00000000-0000-0000-0000-000000000000'::uuid"
#: Counts the documents of a corpus by their list, embedder and analyser. Parameter: corpus.
_COUNT: Final = f"""
INSERT INTO pgvector.corpus_statistics
    (tenant_id, corpus_id, access_list, embedder, dimension, analyser, documents, chunks, terms, generation)
SELECT ragwork.tenant(), $1, CASE WHEN large THEN access_list ELSE {_NOBODYS} END, embedder, dimension, analyser,
    sum(documents), sum(chunks), sum(terms), max(generation)
FROM (
    SELECT *, sum(chunks) OVER (PARTITION BY access_list) * 100 >= sum(chunks) OVER () AS large
    FROM (
        SELECT access_list, embedder, dimension, analyser, count(*) AS documents, sum(chunks) AS chunks,
            sum(terms) AS terms, max(generation) AS generation
        FROM pgvector.documents WHERE corpus_id = $1 GROUP BY access_list, embedder, dimension, analyser
    ) AS counted
) AS sized
GROUP BY 3, embedder, dimension, analyser
"""
#: Counts in how many chunks each term stands. Parameters: corpus, and of how many documents one is in the sample.
_COUNT_TERMS: Final = f"""
INSERT INTO pgvector.term_statistics (tenant_id, corpus_id, term, access_list, analyser, chunks)
SELECT ragwork.tenant(), $1, p.term, l.access_list, d.analyser, count(*) * $2::integer
FROM pgvector.documents d
CROSS JOIN LATERAL (
    SELECT CASE WHEN (d.access_list IN (
        SELECT s.access_list FROM pgvector.corpus_statistics s WHERE s.corpus_id = $1
    )) IS TRUE THEN d.access_list ELSE {_NOBODYS} END AS access_list
) AS l
JOIN pgvector.postings p ON p.generation = d.generation
WHERE d.corpus_id = $1 AND (hashint8(d.generation) & 2147483647) % $2::integer = 0
GROUP BY p.term, l.access_list, d.analyser
HAVING count(*) * $2::integer >= {COUNTED}
"""
#: What is kept of a corpus, with the readers of each list now. Parameter: corpus.
_CORPUS: Final = """
SELECT s.access_list, s.embedder, s.dimension, s.analyser, s.chunks, ARRAY(
    SELECT l.reader FROM pgvector.access_lists l
    WHERE l.access_list = s.access_list AND (l.expires_at IS NULL OR l.expires_at > now())
) AS readers
FROM pgvector.corpus_statistics s WHERE s.corpus_id = $1
"""
_NEW_ANALYSERS: Final = """
SELECT DISTINCT analyser FROM pgvector.documents WHERE corpus_id = $1
    AND generation > (SELECT max(generation) FROM pgvector.corpus_statistics WHERE corpus_id = $1)
"""
#: About how many rows each table of vectors has, of all tenants.
_TABLES: Final = """
SELECT oid::regclass::text AS name, reltuples FROM pg_class
WHERE relnamespace = 'pgvector'::regnamespace AND relkind = 'r' AND relname LIKE 'vectors%'
"""
_UNUSED: Final = (
    "NOT EXISTS (SELECT FROM pgvector.documents d"
    " WHERE d.tenant_id = l.tenant_id AND d.access_list = l.access_list)"
)
_ANY_UNUSED: Final = f"SELECT EXISTS (SELECT FROM pgvector.access_lists l WHERE {_UNUSED})"
#: The lock that the trigger takes shared: no list is taken up while it is looked at.
_LOCK_LISTS: Final = (
    "SELECT pg_advisory_xact_lock(hashtextextended('pgvector access lists ' || ragwork.tenant(), 0))"
)
_FORGET_UNUSED: Final = f"DELETE FROM pgvector.access_lists l WHERE {_UNUSED}"


@attrs.frozen(kw_only=True)
class ListedChunks:
    """Chunks of one access list, embedder and analyser."""

    readers: frozenset[str]
    embedder: str
    dimension: int
    analyser: str
    chunks: int


@attrs.frozen(kw_only=True)
class CorpusStatistics:
    """What a process knows of a corpus. ``vectors`` says how many each table has, of all tenants."""

    listed: Sequence[ListedChunks]
    analysers: Collection[str]
    vectors: Mapping[str, float]

    def is_broad(self, question: Question, table: VectorTable, scope: ReadScope) -> bool:
        """Whether the caller may read so much that it is found first, and rights are asked of what is found."""
        if question.filter or not table.has_graph:
            return False
        match scope:
            case Everything():
                readable = self.listed
            case ReadableBy(readers):
                readable = [each for each in self.listed if each.readers & readers]
            case _:
                return False
        chunks, total = sum(each.chunks for each in readable), sum(each.chunks for each in self.listed)
        vectors = sum(
            each.chunks
            for each in readable
            if (each.embedder, each.dimension) == (question.embedder, question.dimension)
        )
        return (
            vectors >= max(BROAD_CHUNKS, GRAPH_SHARE * self.vectors.get(table.name, 0.0))
            and chunks >= BROAD_SHARE * total
        )


@attrs.frozen
class KnownStatistics:
    """Capability of this plugin's own: the statistics as a process keeps them for a while."""

    database: Database
    cache: Cache[CorpusStatistics]

    async def of(self, tenant_id: str, corpus_id: str) -> CorpusStatistics:
        """At most ``CACHE_TTL_S`` seconds old, beside the age of what is kept. A transaction when it is not at hand."""

        async def load() -> CorpusStatistics:
            async with self.database.tenant(tenant_id, "read") as tx:
                return await load_statistics(tx, corpus_id)

        return await self.cache.get(f"{tenant_id}/{corpus_id}", load)


async def load_statistics(tx: Transaction, corpus_id: str) -> CorpusStatistics:
    """What is kept of the corpus; three round trips, one where nothing is."""
    rows = await tx.fetch(_CORPUS, corpus_id)
    newer = await tx.fetch(_NEW_ANALYSERS, corpus_id) if rows else []
    return CorpusStatistics(
        listed=[_listed(row) for row in rows],
        analysers={row["analyser"] for row in (*rows, *newer)},
        vectors={row["name"]: row["reltuples"] for row in (await tx.fetch(_TABLES) if rows else [])},
    )


def _listed(row: Row) -> ListedChunks:
    return ListedChunks(
        readers=frozenset(row["readers"]),
        embedder=row["embedder"],
        dimension=row["dimension"],
        analyser=row["analyser"],
        chunks=row["chunks"],
    )


@attrs.frozen
class CorpusCounting:
    """Counts what is outdated, tenant after tenant, and forgets access lists that no document has."""

    services: Services

    async def run(self) -> int:
        """The number of corpora that were counted."""
        return (await visit(await self.services.use(Directory).tenants(), self._tenant)).complete()

    async def _tenant(self, tenant_id: str) -> int:
        async with self.services.db.tenant(tenant_id, "read") as tx:
            outdated = [row["corpus_id"] for row in await tx.fetch(_OUTDATED)]
            unused = await tx.fetchval(_ANY_UNUSED)
        for corpus_id in outdated:
            async with self.services.db.tenant(tenant_id) as tx:
                await count(tx, corpus_id)
        if unused:
            async with self.services.db.tenant(tenant_id) as tx:
                await tx.execute(_LOCK_LISTS)
                await tx.execute(_FORGET_UNUSED)
        return len(outdated)


async def count(tx: Transaction, corpus_id: str) -> None:
    """Count the corpus anew."""
    await tx.execute(_LOCK, corpus_id)
    await tx.execute("DELETE FROM pgvector.corpus_statistics WHERE corpus_id = $1", corpus_id)
    await tx.execute("DELETE FROM pgvector.term_statistics WHERE corpus_id = $1", corpus_id)
    await tx.execute(_COUNT, corpus_id)
    chunks = await tx.fetchval(
        "SELECT coalesce(sum(chunks), 0)::bigint FROM pgvector.corpus_statistics WHERE corpus_id = $1",
        corpus_id,
    )
    if chunks >= BROAD_CHUNKS:
        await tx.execute(_COUNT_TERMS, corpus_id, -(-chunks // SAMPLE))


#: Gives what is known of a tenant's corpus.
StatisticsSource = Callable[[str, str], Awaitable[CorpusStatistics]]
