"""The second half of a ranking statement: candidates with their scores in both legs become the answer."""

# ruff: noqa: S608 -- what enters the text are constants and placeholders; every value is a parameter

from typing import Final

#: Candidates that each leg hands to the fusion.
POOL: Final = 200
#: Least share of the lexical leg for documents whose language the embedder was not trained for: what its vectors say
#: of them is mostly noise.
FOREIGN_LEXICAL_WEIGHT: Final = 0.8
#: The lexical leg's share of the relevance; in a foreign language ``FOREIGN_LEXICAL_WEIGHT``. Passages that have
#: nothing to do with the question stay below 0.25 as a rule, and right ones above.
RELEVANCE_LEXICAL_WEIGHT: Final = 0.5
#: Pseudo relevance feedback: how many of the best passages move the question's vector, and how far.
FEEDBACK_PASSAGES: Final = 2
FEEDBACK_WEIGHT: Final = 0.8
#: BM25: saturation of the term frequency, and how much a chunk's length counts.
K1: Final = 1.2
B: Final = 0.75


def among(column: str, rows: str) -> str:
    """Whether ``column`` is in the sub-select ``rows``."""
    # IS TRUE keeps this a hash look-up: as a join with a CTE of unknown size it may become a nested loop.
    return f"({column} IN ({rows})) IS TRUE"


def saturation(frequency: str, length: str) -> str:
    """What a term adds to BM25 before its boost; ``totals`` has the mean length."""
    return (
        f"{frequency} * {K1 + 1}"
        f" / ({frequency} + {K1} * ({1 - B} + {length} * (SELECT {B} / mean_length FROM totals)))"
    )


def boosts(found: str) -> str:
    """CTEs ``boosts``, an array by the numbers of ``question``, and ``attainable``, from a CTE ``found`` (n, found)."""
    return f"""
boosts AS MATERIALIZED (
    SELECT array_agg(
        q.weight * ln(1 + (greatest(t.chunks, f.found) - coalesce(f.found, 0) + 0.5) / (coalesce(f.found, 0) + 0.5))
        ORDER BY q.n
    ) AS boosts
    FROM totals t, question q LEFT JOIN {found} f USING (n)
),
attainable AS MATERIALIZED (
    SELECT sum(boost) * {K1 + 1} AS score FROM boosts, unnest(boosts) AS boost
)"""


def fused(*, distinct: bool) -> str:
    """CTEs from ``scored``, which has the candidates with what each leg says of them, to ``folded``."""
    first = "WHERE row_number = 1" if distinct else ""
    return f"""
first AS MATERIALIZED ({_mixed("scored")}),
feedback AS MATERIALIZED (
    SELECT public.avg(embedding) AS mean FROM (
        SELECT embedding FROM first WHERE embedding IS NOT NULL
        ORDER BY score DESC, generation, ordinal LIMIT {FEEDBACK_PASSAGES}
    ) AS best
),
nearer AS MATERIALIZED (
    SELECT generation, ordinal, lexical, embedding, weight, fluent, cosine, nearness
        - {FEEDBACK_WEIGHT} * (embedding OPERATOR(public.<#>) (SELECT mean FROM feedback)) AS nearness
    FROM first
),
fused AS ({_mixed("nearer")}),
ranked AS (
    SELECT generation, ordinal, score, lexical, cosine, fluent,
        row_number() OVER (PARTITION BY generation ORDER BY score DESC, ordinal)
    FROM fused
),
answer AS (SELECT generation, ordinal, score, lexical, cosine, fluent FROM ranked {first}),
folded AS (
    SELECT a.*, row_number() OVER (PARTITION BY c.digest ORDER BY a.score DESC, a.generation, a.ordinal) AS nth
    FROM answer a CROSS JOIN LATERAL (
        SELECT c.digest FROM pgvector.chunks c WHERE c.generation = a.generation AND c.ordinal = a.ordinal OFFSET 0
    ) AS c
)"""


def answer(top_k: str, unrelated: str) -> str:
    """The query over those CTEs: passages with their scores and the parts of them, best first."""
    lexical = "least(1, coalesce(top.lexical / nullif((SELECT score FROM attainable), 0), 0))"
    semantic = f"greatest(0, coalesce((top.cosine - {unrelated}) / (1 - {unrelated}), 0))"
    weight = f"CASE WHEN top.fluent THEN {RELEVANCE_LEXICAL_WEIGHT} ELSE {FOREIGN_LEXICAL_WEIGHT} END"
    return f"""
SELECT d.document_id, c.chunk_id, c.text, top.score, d.source, d.version, c.start_offset, c.end_offset,
    d.language, d.metadata || c.metadata AS metadata,
    {lexical} AS lexical, top.cosine AS semantic,
    {weight} * {lexical} + (1 - {weight}) * {semantic} AS relevance
FROM (SELECT * FROM folded WHERE nth = 1 ORDER BY score DESC, generation, ordinal LIMIT {top_k}) AS top
JOIN pgvector.documents d USING (generation)
JOIN pgvector.chunks c USING (generation, ordinal)
ORDER BY top.score DESC, d.document_id, c.ordinal"""


def _mixed(source: str) -> str:
    """``source`` with its score: lexical over its maximum, nearness between its minimum and maximum."""
    return f"""
    SELECT generation, ordinal, lexical, embedding, nearness, cosine, weight, fluent, least(1, greatest(0,
        weight * coalesce(lexical / nullif(max(lexical) OVER (), 0), 0)
        + (1 - weight) * coalesce(
            CASE WHEN max(nearness) OVER () > min(nearness) OVER ()
                THEN (nearness - min(nearness) OVER ()) / (max(nearness) OVER () - min(nearness) OVER ())
                WHEN nearness IS NOT NULL THEN 1 END, 0)
    )) AS score
    FROM {source}
"""
