"""The ranking query for a caller who may read much: its cost does not grow with the corpus.

Both legs walk an index from its best end, and ask of each row whether the caller may read it, until they have enough:
the graph of the vectors, and each term's postings by their impact. What is found is scored exactly. Statistics are
those that ``CorpusStatistics`` keeps of the access lists that the caller is on, so that nothing about other documents
shows in a score or an order.
"""

# ruff: noqa: S608 -- what enters the text are constants and placeholders; every value is a parameter

from collections.abc import Collection
from typing import Final

from ragwork_hooks.authz import ReadScope
from ragwork_toolkit.scope_sql import Parameters
from ragwork_toolkit.text.analysers import ANALYSERS

from ragwork_pgvector.fusion import FOREIGN_LEXICAL_WEIGHT, POOL, among, answer, boosts, fused, saturation
from ragwork_pgvector.question import Question
from ragwork_pgvector.readers import listed, scope_condition
from ragwork_pgvector.vectors import VectorTable

#: Lists of postings are read whole, the rarest term first, until their terms make this share of what the question can
#: score, and up to so many postings together …
TELLING: Final = 0.75
WHOLE_POSTINGS: Final = 60_000
#: … of the others so many are read, the most telling first.
POSTINGS: Final = 400
#: Postings of a term that are asked for whether the caller may read them. Only where as many others tell more of a term
#: than those that the caller may read does one of these go unseen.
MOST_POSTINGS: Final = 20_000
#: Best chunks by their words that rights are asked for first, so that not all need be sorted.
FIRST_CHECKED: Final = 2_000
#: As migration 0005 has it in its index, to the letter.
_IMPACT: Final = "(h.frequency / (h.frequency + 0.3::float8 + 0.009::float8 * h.length))"


def broad_ranking(
    question: Question, analysers: Collection[str], table: VectorTable, scope: ReadScope
) -> tuple[str, list[object]]:
    """The statement and its arguments, for a corpus with documents of ``analysers``. Its text depends on shapes only,
    never on a value.
    """
    p = Parameters()
    present = sum(1 << ANALYSERS.index(analyser) for analyser in analysers)
    corpus = p.bind(question.corpus_id, "text")
    rights = f"d.corpus_id = {corpus} AND {scope_condition(scope, p)}"
    terms = question.terms.asked(present)
    unnested = ", ".join(
        (
            p.bind([term.text for term in terms], "text[]"),
            p.bind([term.analysers for term in terms], "bigint[]"),
            p.bind([term.weight for term in terms], "integer[]"),
        )
    )
    bit = f"1::bigint << array_position({p.bind(ANALYSERS, 'text[]')}, %s.analyser) - 1"
    embedder, dimension = p.bind(question.embedder, "text"), p.bind(question.dimension, "integer")
    embedded = f"d.embedder = {embedder} AND d.dimension = {dimension}"
    languages = p.bind(None if question.languages is None else sorted(question.languages), "text[]")
    top_k, weight = p.bind(question.top_k, "integer"), p.bind(question.lexical_weight, "float8")
    parts = (
        f"asked AS MATERIALIZED (SELECT {p.bind(question.vector, table.type)} AS vector)",
        _totals(corpus, listed(scope, p)),
        _postings(corpus, unnested, rights, bit, listed(scope, p), p.bind(present, "bigint")),
        _walk(table, f"{rights} AND {embedded}"),
        _scored(table, rights, bit, embedded, languages, weight, distinct=question.distinct is not None),
        fused(distinct=question.distinct is not None),
    )
    return "WITH " + ",".join(parts) + answer(top_k, p.bind(question.unrelated_cosine, "float8")), p.values


def _totals(corpus: str, lists: str) -> str:
    return f"""
totals AS MATERIALIZED (
    SELECT coalesce(sum(chunks), 0)::float8 AS chunks,
        greatest(coalesce(sum(terms), 0)::float8 / greatest(coalesce(sum(chunks), 0), 1), 1) AS mean_length
    FROM pgvector.corpus_statistics s WHERE s.corpus_id = {corpus} AND {lists}
)"""


def _postings(corpus: str, terms: str, rights: str, bit: str, lists: str, present: str) -> str:
    """CTEs ``question``, the terms with how many chunks have each, their postings, and ``partial`` scores."""
    may_read = f"""(
            SELECT {rights} AND q.analysers & ({bit % "d"}) <> 0
            FROM pgvector.documents d WHERE d.generation = h.generation
        )"""
    return f"""
known AS MATERIALIZED (
    SELECT t.*, s.chunks, t.weight * ln(1 + (SELECT chunks FROM totals) / s.chunks) AS boost
    FROM (
        SELECT pgvector.term({corpus}, t.term) AS term, t.analysers, t.weight, t.n::integer
        FROM unnest({terms}) WITH ORDINALITY AS t (term, analysers, weight, n)
    ) AS t CROSS JOIN LATERAL (
        SELECT sum(s.chunks) AS chunks FROM pgvector.term_statistics s
        WHERE s.term = t.term AND {lists} AND t.analysers & ({bit % "s"}) <> 0
        OFFSET 0
    ) AS s
),
question AS MATERIALIZED (
    SELECT n, term, analysers, weight, chunks,
        chunks IS NOT NULL AND analysers & {present} = {present}
            AND sum(chunks) OVER rarest <= {WHOLE_POSTINGS}
            AND sum(boost) OVER rarest - boost < {TELLING} * sum(boost) OVER () AS whole
    FROM known WINDOW rarest AS (ORDER BY chunks, n)
),
whole_lists AS MATERIALIZED (
    SELECT q.n, h.generation, h.ordinal, h.length, h.frequency
    FROM question q CROSS JOIN LATERAL (
        SELECT h.generation, h.ordinal, h.length, h.frequency FROM pgvector.postings h WHERE h.term = q.term OFFSET 0
    ) AS h
    WHERE q.whole
),
best_of_lists AS MATERIALIZED (
    SELECT q.n, h.generation, h.ordinal, h.length, h.frequency
    FROM question q CROSS JOIN LATERAL (
        SELECT h.* FROM (
            SELECT h.generation, h.ordinal, h.length, h.frequency FROM pgvector.postings h
            WHERE h.term = q.term ORDER BY {_IMPACT} DESC LIMIT {MOST_POSTINGS}
        ) AS h
        WHERE {may_read} LIMIT {POSTINGS}
    ) AS h
    WHERE NOT q.whole
),
found AS MATERIALIZED (
    SELECT n, false AS cut, chunks AS found FROM question WHERE whole
    UNION ALL
    SELECT h.n, h.postings = {POSTINGS},
        CASE WHEN h.postings < {POSTINGS} THEN h.postings ELSE greatest(q.chunks, h.postings) END
    FROM (SELECT n, count(*) AS postings FROM best_of_lists GROUP BY n) AS h JOIN question q USING (n)
),{boosts("found")},
partial AS MATERIALIZED (
    SELECT generation, ordinal,
        sum((SELECT boosts FROM boosts)[n] * {saturation("frequency", "length")}) AS score
    FROM (SELECT * FROM whole_lists UNION ALL SELECT * FROM best_of_lists) AS h
    GROUP BY generation, ordinal
)"""


def _walk(table: VectorTable, rights: str) -> str:
    # set_config must run before the walk starts: the walk's gate is the sub-select that calls it.
    return f"""
walk AS MATERIALIZED (
    SELECT v.generation, v.ordinal
    FROM {table.name} v
    WHERE (
        SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true) IS NOT NULL
            AND set_config('hnsw.ef_search', '{POOL}', true) IS NOT NULL
    ) AND (SELECT {rights} FROM pgvector.documents d WHERE d.generation = v.generation)
    ORDER BY v.embedding OPERATOR(public.<#>) (SELECT vector FROM asked)
    LIMIT {POOL}
)"""


def _scored(
    table: VectorTable, rights: str, bit: str, embedded: str, languages: str, weight: str, *, distinct: bool
) -> str:
    """The candidates of both legs with their exact scores: what a list that was cut says of them is looked up."""
    best = "DISTINCT ON (generation)" if distinct else ""
    order = "ORDER BY generation, score DESC, ordinal" if distinct else ""
    distance = "v.embedding OPERATOR(public.<#>) (SELECT vector FROM asked)"
    ordered = f"""
        SELECT generation, ordinal, score FROM (SELECT {best} generation, ordinal, score FROM partial {order}) AS p
        ORDER BY score DESC, generation, ordinal"""
    may_read = f"(SELECT {rights} FROM pgvector.documents d WHERE d.generation = h.generation)"
    return f"""
first_pool AS MATERIALIZED (
    SELECT generation, ordinal FROM ({ordered} LIMIT {FIRST_CHECKED}) AS h WHERE {may_read} LIMIT {POOL}
),
pool AS (
    SELECT generation, ordinal FROM first_pool
    UNION
    SELECT generation, ordinal FROM (
        SELECT generation, ordinal FROM ({ordered} OFFSET 0) AS h WHERE {may_read} LIMIT {POOL}
    ) AS h
    WHERE (SELECT count(*) FROM first_pool) < {POOL} AND (SELECT count(*) FROM partial) > {FIRST_CHECKED}
),
chosen AS MATERIALIZED (
    SELECT c.generation, c.ordinal, d.bit, d.embedded, d.fluent
    FROM (SELECT generation, ordinal FROM pool UNION SELECT generation, ordinal FROM walk) AS c
    CROSS JOIN LATERAL (
        SELECT {bit % "d"} AS bit, {embedded} AS embedded,
            {languages} IS NULL OR d.language = '' OR d.language = ANY({languages}) AS fluent
        FROM pgvector.documents d WHERE d.generation = c.generation OFFSET 0
    ) AS d
),
looked_up AS MATERIALIZED (
    SELECT f.n, c.generation, c.ordinal, h.length, h.frequency
    FROM found f JOIN question q ON q.n = f.n AND f.cut
    CROSS JOIN chosen c CROSS JOIN LATERAL (
        SELECT h.length, h.frequency FROM pgvector.postings h
        WHERE h.term = q.term AND h.generation = c.generation AND h.ordinal = c.ordinal
            AND q.analysers & c.bit <> 0
            AND NOT {among("(f.n, c.generation, c.ordinal)", "SELECT n, generation, ordinal FROM best_of_lists")}
        OFFSET 0
    ) AS h
),
lexical AS MATERIALIZED (
    SELECT generation, ordinal, sum(score) AS score
    FROM (
        SELECT generation, ordinal, score FROM partial
        WHERE {among("(generation, ordinal)", "SELECT generation, ordinal FROM chosen")}
        UNION ALL
        SELECT generation, ordinal, (SELECT boosts FROM boosts)[n] * {saturation("frequency", "length")}
        FROM looked_up
    ) AS h
    GROUP BY generation, ordinal
),
scored AS MATERIALIZED (
    SELECT c.generation, c.ordinal, coalesce(l.score, 0) AS lexical, v.embedding,
        CASE WHEN c.fluent THEN {weight} ELSE greatest({weight}, {FOREIGN_LEXICAL_WEIGHT}) END AS weight, c.fluent,
        -({distance}) AS nearness, -({distance}) AS cosine
    FROM chosen c LEFT JOIN lexical l USING (generation, ordinal) LEFT JOIN LATERAL (
        SELECT v.embedding FROM {table.name} v
        WHERE v.generation = c.generation AND v.ordinal = c.ordinal AND c.embedded
        OFFSET 0
    ) AS v ON true
)"""
