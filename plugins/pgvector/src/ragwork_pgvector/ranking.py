"""The ranking query: both legs, their fusion and the caller's rights in one statement.

BM25 statistics, candidate pools and the bounds of the normalisation are all taken over the documents
that the caller may read, so that nothing about the others shows in a score or an order.

The planner knows nothing of the size of what the caller may read, and less of a corpus made a minute ago.
So the statement leaves it no choice that could go wrong: LATERAL with OFFSET 0 is an index look-up per
row, ``among`` a hash look-up, and the legs meet in a GROUP BY instead of joins.
"""

# ruff: noqa: S608 -- what enters the text are constants and placeholders; every value is a parameter

from collections.abc import Mapping
from typing import Final

from ragwork_hooks.authz import ReadScope
from ragwork_toolkit.scope_sql import Parameters
from ragwork_toolkit.text.analysers import ANALYSERS

from ragwork_pgvector.fusion import FOREIGN_LEXICAL_WEIGHT, POOL, among, answer, boosts, fused, saturation
from ragwork_pgvector.question import Question
from ragwork_pgvector.readers import readable_documents
from ragwork_pgvector.statistics import GRAPH_SHARE
from ragwork_pgvector.terms import ENOUGH_WORDS, QUESTION_TERMS
from ragwork_pgvector.vectors import VectorTable

#: Vectors up to which an exact scan is at least as fast as a filtered walk through the graph.
EXACT_VECTORS: Final = 20_000
_EMBEDDED: Final = "SELECT generation FROM permitted WHERE embedded"


def ranking(question: Question, table: VectorTable, scope: ReadScope) -> tuple[str, list[object]]:
    """The statement and its arguments. Its text depends on shapes only, never on a value."""
    p = Parameters()
    corpus = p.bind(question.corpus_id, "text")
    vector = "(SELECT vector FROM asked)"
    terms = ", ".join(
        (
            p.bind(question.terms.terms, "text[]"),
            p.bind(question.terms.stops, "boolean[]"),
            p.bind(question.terms.analysers, "bigint[]"),
            p.bind(question.terms.weights, "integer[]"),
        )
    )
    analysers = p.bind(ANALYSERS, "text[]")
    top_k = p.bind(question.top_k, "integer")
    weight = p.bind(question.lexical_weight, "float8")
    parts = [
        # Read once: as an expression in place, the cast would check the vector anew for every row.
        f"asked AS MATERIALIZED (SELECT {p.bind(question.vector, table.type)} AS vector)",
        _permitted(p, question, corpus, scope),
        _lexical(corpus, terms, analysers),
        _graph(table, vector) if table.has_graph else _NO_GRAPH,
        _exact(table, vector, top_k, distinct=question.distinct is not None),
        _candidates(table, vector, weight, distinct=question.distinct is not None),
    ]
    unrelated = p.bind(question.unrelated_cosine, "float8")
    return "WITH " + ",".join(parts) + answer(top_k, unrelated), p.values


def _permitted(p: Parameters, question: Question, corpus: str, scope: ReadScope) -> str:
    embedder, dimension = p.bind(question.embedder, "text"), p.bind(question.dimension, "integer")
    languages = p.bind(None if question.languages is None else sorted(question.languages), "text[]")
    documents = readable_documents(corpus, scope, p)
    if question.filter:
        documents += f" AND {_matches(p.bind(_alternatives(question.filter), 'jsonb'))}"
    return f"""
permitted AS MATERIALIZED (
    SELECT d.generation, d.chunks, d.terms, d.analyser,
        d.embedder = {embedder} AND d.dimension = {dimension} AS embedded,
        {languages} IS NULL OR d.language = '' OR d.language = ANY({languages}) AS fluent
    FROM {documents}
),
totals AS MATERIALIZED (
    SELECT coalesce(sum(chunks), 0)::float8 AS chunks,
        coalesce(sum(chunks) FILTER (WHERE embedded), 0)::float8 AS vectors,
        count(*) FILTER (WHERE embedded AND chunks > 0) AS documents,
        bool_and(embedded) AS uniform,
        greatest(coalesce(sum(terms), 0)::float8 / greatest(coalesce(sum(chunks), 0), 1), 1) AS mean_length
    FROM permitted
)"""


def _alternatives(filter: Mapping[str, object]) -> dict[str, list[object]]:
    return {key: value if isinstance(value, list) else [value] for key, value in filter.items()}


def _matches(filter: str) -> str:
    """Every key has one of its values; JSON types are strict, an array matches by its elements."""
    return f"""NOT EXISTS (
        SELECT FROM jsonb_each({filter}) AS f
        WHERE NOT EXISTS (
            SELECT FROM jsonb_array_elements(f.value) AS w
            WHERE d.metadata -> f.key = w.value
                OR jsonb_typeof(d.metadata -> f.key) = 'array'
                    AND d.metadata -> f.key @> jsonb_build_array(w.value)
        )
    )"""


def _lexical(corpus: str, terms: str, analysers: str) -> str:
    return f"""
spoken AS MATERIALIZED (
    SELECT analyser, 1::bigint << array_position({analysers}, analyser) - 1 AS bit
    FROM (SELECT DISTINCT analyser FROM permitted) AS p
),
wanted AS (
    SELECT s.analyser, t.term, t.stop, sum(t.weight) AS weight, min(t.place) AS place
    FROM spoken s JOIN unnest({terms}) WITH ORDINALITY AS t (term, stop, analysers, weight, place)
        ON t.analysers & s.bit <> 0
    GROUP BY s.analyser, t.term, t.stop
),
question AS MATERIALIZED (
    SELECT pgvector.term({corpus}, term) AS term, analyser, weight, row_number() OVER ()::integer AS n
    FROM (
        SELECT *, row_number() OVER (PARTITION BY analyser ORDER BY stop, weight DESC, place) AS rank,
            count(*) FILTER (WHERE NOT stop) OVER (PARTITION BY analyser) AS telling
        FROM wanted
    ) AS w
    WHERE NOT (stop AND telling >= {ENOUGH_WORDS}) AND rank <= {QUESTION_TERMS}
),
hits AS MATERIALIZED (
    SELECT q.n, h.generation, h.ordinal, h.length, h.frequency
    FROM question q CROSS JOIN LATERAL (
        SELECT h.* FROM pgvector.postings h WHERE h.term = q.term OFFSET 0
    ) AS h
    WHERE {among("(h.generation, q.analyser)", "SELECT generation, analyser FROM permitted")}
),
found AS MATERIALIZED (SELECT n, count(*) AS found FROM hits GROUP BY n),{boosts("found")},
lexical AS MATERIALIZED (
    SELECT h.generation, h.ordinal, sum(
        (SELECT boosts FROM boosts)[h.n] * {saturation("h.frequency", "h.length")}
    ) AS score
    FROM hits h
    GROUP BY h.generation, h.ordinal
)"""


def _graph(table: VectorTable, vector: str) -> str:
    # set_config must run before the walk starts: the walk's gate is the sub-select that calls it.
    return f"""
plan AS MATERIALIZED (
    SELECT CASE
        WHEN vectors <= {EXACT_VECTORS} THEN false
        WHEN vectors < {GRAPH_SHARE} * (
            SELECT reltuples FROM pg_class WHERE oid = '{table.name}'::regclass
        ) THEN false
        ELSE set_config('hnsw.iterative_scan', 'relaxed_order', true) IS NOT NULL
            AND set_config('hnsw.ef_search', '{POOL}', true) IS NOT NULL
    END AS graph
    FROM totals
),
walk AS MATERIALIZED (
    SELECT v.generation, v.ordinal
    FROM {table.name} v
    WHERE (SELECT graph FROM plan)
        AND {among("v.generation", _EMBEDDED)}
    ORDER BY v.embedding OPERATOR(public.<#>) {vector}
    LIMIT {POOL}
)"""


_NO_GRAPH: Final = """
walk AS MATERIALIZED (SELECT generation, 0 AS ordinal FROM permitted WHERE false)"""


def _exact(table: VectorTable, vector: str, top_k: str, *, distinct: bool) -> str:
    """The nearest of all permitted vectors, whenever the walk did not bring enough."""
    distance = f"v.embedding OPERATOR(public.<#>) {vector}"
    if distinct:
        enough = (
            f"(SELECT count(DISTINCT generation) FROM walk) < least({top_k}, (SELECT documents FROM totals))"
        )
        rows = f"SELECT DISTINCT ON (v.generation) v.generation, v.ordinal, {distance} AS distance"
        order = "ORDER BY v.generation, distance"
    else:
        enough = f"(SELECT count(*) FROM walk) < least({POOL}, (SELECT vectors FROM totals))"
        rows = f"SELECT v.generation, v.ordinal, {distance} AS distance"
        order = ""
    return f"""
scan AS MATERIALIZED (
    SELECT generation, ordinal
    FROM (
        {rows}
        FROM permitted p CROSS JOIN LATERAL (
            SELECT v.* FROM {table.name} v WHERE v.generation = p.generation OFFSET 0
        ) AS v
        WHERE p.embedded AND {enough}
        {order}
    ) AS v
    ORDER BY distance, generation, ordinal
    LIMIT {POOL}
)"""


def _candidates(table: VectorTable, vector: str, weight: str, *, distinct: bool) -> str:
    best = "DISTINCT ON (generation)" if distinct else ""
    order = "ORDER BY generation, score DESC, ordinal" if distinct else ""
    return f"""
pool AS (
    SELECT generation, ordinal, score FROM (
        SELECT {best} generation, ordinal, score FROM lexical {order}
    ) AS l
    ORDER BY score DESC, generation, ordinal LIMIT {POOL}
),
chosen AS MATERIALIZED (
    SELECT generation, ordinal FROM pool
    UNION SELECT generation, ordinal FROM walk
    UNION SELECT generation, ordinal FROM scan
),
candidates AS (
    SELECT generation, ordinal, max(lexical) AS lexical
    FROM (
        SELECT generation, ordinal, 0 AS lexical FROM chosen
        UNION ALL SELECT generation, ordinal, score FROM lexical
        WHERE {among("(generation, ordinal)", "SELECT generation, ordinal FROM chosen")}
    ) AS leg
    GROUP BY generation, ordinal
),
scored AS MATERIALIZED (
    SELECT c.generation, c.ordinal, c.lexical, v.embedding,
        CASE WHEN f.fluent THEN {weight} ELSE greatest({weight}, {FOREIGN_LEXICAL_WEIGHT}) END AS weight, f.fluent,
        -(v.embedding OPERATOR(public.<#>) {vector}) AS nearness,
        -(v.embedding OPERATOR(public.<#>) {vector}) AS cosine
    FROM candidates c CROSS JOIN LATERAL (
        SELECT {among("c.generation", "SELECT generation FROM permitted WHERE fluent")} AS fluent OFFSET 0
    ) AS f LEFT JOIN LATERAL (
        SELECT v.embedding FROM {table.name} v
        WHERE v.generation = c.generation AND v.ordinal = c.ordinal
            AND ((SELECT uniform FROM totals) OR {among("c.generation", _EMBEDDED)})
        OFFSET 0
    ) AS v ON true
),{fused(distinct=distinct)}"""
