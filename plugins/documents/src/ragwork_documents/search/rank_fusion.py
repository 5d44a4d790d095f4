"""One ranking out of several corpora' answers, whose scores mean different things.

Each engine scales its scores per query: one corpus' best passage has 1.0 however far from the question it
is, so scores can't be compared across corpora. Places can: reciprocal rank fusion of a passage's place in its
own corpus and of its place in the pool of all answers by one yardstick, BM25 over that pool. The second
place is what sinks a corpus that has nothing on the question.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import attrs
from ragwork_hooks.documents import CorpusPassage
from ragwork_hooks.retrieval import Passage

#: Reciprocal rank fusion's constant and BM25's two, at the values of their papers.
RANK_OFFSET: Final = 60
K1: Final = 1.2
B: Final = 0.75
#: What of a passage the yardstick reads: an engine's passage may be megabytes.
MAX_MEASURED_CHARS: Final = 4_000

_WORD: Final = re.compile(r"\w+")


def merge(
    question: str, answers: Sequence[tuple[str, Sequence[Passage]]], top_k: int, *, distinct: bool
) -> list[CorpusPassage]:
    """The best ``top_k`` of ``answers`` (corpus id, passages best first), best first, without duplicates.

    Scores become the fused ones, 0.0 to 1.0: 1.0 leads its corpus and the pool. Of passages with the same
    text, and with ``distinct`` of the same document, the best stays. Ties keep the order of ``answers``.
    """
    places: list[int] = []
    pool: list[CorpusPassage] = []
    for corpus_id, passages in answers:
        for place, passage in enumerate(passages, 1):
            places.append(place)
            pool.append(CorpusPassage(corpus_id=corpus_id, passage=passage))
    common = _places(_bm25(question, [found.passage.text for found in pool]))
    best = 2 / (RANK_OFFSET + 1)
    fused = [(_weight(own) + _weight(all_)) / best for own, all_ in zip(places, common, strict=True)]
    order = sorted(range(len(pool)), key=lambda n: -fused[n])
    kept = _without_duplicates([_scored(pool[n], fused[n]) for n in order], distinct)
    return kept[:top_k]


def _scored(found: CorpusPassage, score: float) -> CorpusPassage:
    return attrs.evolve(found, passage=attrs.evolve(found.passage, score=score))


def _weight(place: int | None) -> float:
    return 0.0 if place is None else 1 / (RANK_OFFSET + place)


def _places(scores: Sequence[float]) -> list[int | None]:
    """The place of each score, from 1, equal scores at the same place; ``None`` for what scored nothing."""
    place_of = {score: place for place, score in enumerate(sorted(set(scores), reverse=True), 1)}
    return [place_of[score] if score > 0 else None for score in scores]


def _bm25(question: str, texts: Sequence[str]) -> list[float]:
    """How well each text's words answer the question's, with the texts themselves as the collection."""
    words = [Counter(_WORD.findall(text[:MAX_MEASURED_CHARS].casefold())) for text in texts]
    lengths = [counts.total() for counts in words]
    mean = sum(lengths) / max(1, len(lengths)) or 1.0
    scores = [0.0] * len(texts)
    for term in set(_WORD.findall(question.casefold())):
        holding = sum(1 for counts in words if term in counts)
        rarity = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
        for n, counts in enumerate(words):
            if often := counts[term]:
                damping = K1 * (1 - B + B * lengths[n] / mean)
                scores[n] += rarity * often * (K1 + 1) / (often + damping)
    return scores


def _without_duplicates(ranked: Sequence[CorpusPassage], distinct: bool) -> list[CorpusPassage]:
    seen: set[tuple[str, str]] = set()
    kept: list[CorpusPassage] = []
    for found in ranked:
        keys = {("text", " ".join(found.passage.text.split()))}
        if distinct:
            keys.add(("document", found.passage.document_id))
        if seen.isdisjoint(keys):
            kept.append(found)
        seen |= keys
    return kept
