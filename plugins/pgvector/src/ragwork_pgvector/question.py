"""A question with its vector and what the corpus chose."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import attrs

from ragwork_pgvector.terms import QuestionTerms

if TYPE_CHECKING:
    from pgvector import HalfVector


@attrs.frozen(kw_only=True)
class Question:
    """What is ranked for."""

    corpus_id: str
    terms: QuestionTerms
    vector: "HalfVector"
    dimension: int
    embedder: str
    #: What the embedder was trained for, ``None`` for many.
    languages: frozenset[str] | None
    #: See ``Embedder.unrelated_cosine``.
    unrelated_cosine: float
    top_k: int
    lexical_weight: float
    filter: Mapping[str, object]
    distinct: Literal["document"] | None
