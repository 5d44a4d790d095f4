"""Choosing the sentences that answer a question."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import attrs
from ragwork_hooks.retrieval import Passage

from ragwork_extractive.sentences import Sentence, sentences
from ragwork_extractive.terms import Stems, words
from ragwork_extractive.wordlists import STOPWORDS

MAX_SENTENCES = 4
#: One passage must cover more than this share of the question's weight, or the corpus does not say …
_COVERAGE = 0.5
# … for questions of up to this many content words; a longer one needs the square root of it.
_SHORT_QUESTION = 8
#: A further sentence must be worth this share of the best one.
_WORTH = 0.5
#: Sentences that share more of their words than this say the same.
_SAME = 0.6
#: What headings and the source's name count, against the sentence's own words.
_CONTEXT_SHARE = 0.45
#: What a table's header counts for a row whose own cells the question does not mention: it is every row's.
_UNASKED_ROW = 0.4
_KIND_WEIGHT = {"text": 1.0, "item": 0.95, "row": 0.9, "code": 0.7}

_NUMBER = re.compile(r"\d")
_ASKS_NUMBER = re.compile(
    r"\b(?:how (?:many|much|long|often|old|big|large|fast|far)|when|what (?:year|date|time|port))\b"
)
_ASKS_MEANING = re.compile(r"^\W*(?:what (?:is|are)|what's|define|who (?:is|are))\b")
_DEFINES = re.compile(r"\b(?:is|are|means?|stands for|refers to|consists of)\b", re.IGNORECASE)


@attrs.frozen
class _Candidate:
    """A sentence with the question's stems that it covers: by itself, and further ones by what it stands
    under (headings) and in (the source's name).
    """

    sentence: Sentence
    own: frozenset[str]
    above: frozenset[str]
    source: frozenset[str]
    vocabulary: frozenset[str]
    adjacent: int


@attrs.frozen
class _Question:
    text: str
    weights: dict[str, float]

    def weigh(self, stems: frozenset[str]) -> float:
        return sum(self.weights[stem] for stem in stems)


def choose(stems: Stems, question: str, passages: Sequence[Passage]) -> list[Sentence]:
    """The sentences that answer, in the order of passages and text; none when the passages don't say."""
    base = stems.question(question)
    if not base or not passages:
        return []
    candidates = _candidates(stems, base, passages)
    asked = _Question(question.casefold(), _by_rarity(base, candidates))
    covered = _covered(asked, candidates, len(passages))
    if not covered:
        return []
    scored = [
        (_score(asked, c, passages[c.sentence.passage]), c)
        for c in candidates
        if c.sentence.passage in covered
    ]
    return sorted(_select(scored), key=lambda s: (s.passage, s.order))


def _candidates(stems: Stems, base: dict[str, float], passages: Sequence[Passage]) -> list[_Candidate]:
    found = [s for number, passage in enumerate(passages) for s in sentences(number, passage.text)]
    split = [words(sentence.own) for sentence in found]
    above = [words(sentence.above) for sentence in found]
    sources = [words(passage.source) for passage in passages]
    asked = _matching(stems, base, set().union(*split, *above, *sources))
    in_source = [frozenset(asked[word] for word in source if word in asked) for source in sources]
    return [
        _candidate(sentence, its, heading, in_source[sentence.passage], asked)
        for sentence, its, heading in zip(found, split, above, strict=True)
    ]


def _matching(stems: Stems, base: dict[str, float], vocabulary: set[str]) -> dict[str, str]:
    """Word → question stem. A stem shares its word's first two letters, which spares most stemming."""
    heads = {stem[:2] for stem in base}
    likely = {word for word in vocabulary if word[:2] in heads}
    return {word: stem for word, stem in stems.of(likely).items() if stem in base}


def _candidate(
    sentence: Sentence, split: list[str], above: list[str], source: frozenset[str], asked: dict[str, str]
) -> _Candidate:
    hits = [asked.get(word) for word in split]
    own = frozenset(hit for hit in hits if hit is not None)
    headings = frozenset(asked[word] for word in above if word in asked) - own
    return _Candidate(
        sentence=sentence,
        own=own,
        above=headings,
        source=source - own - headings,
        vocabulary=frozenset(split) - STOPWORDS,
        adjacent=sum(1 for a, b in pairwise(hits) if a and b and a != b) if len(own) > 1 else 0,
    )


def _by_rarity(base: dict[str, float], candidates: list[_Candidate]) -> dict[str, float]:
    """Weights times inverse sentence frequency; a word that nothing mentions weighs as a rare one."""
    count = Counter(stem for c in candidates for stem in c.own)
    total = len(candidates)
    return {stem: weight * math.log(1 + (total + 1) / (count[stem] + 0.5)) for stem, weight in base.items()}


def _covered(asked: _Question, candidates: list[_Candidate], passages: int) -> frozenset[int]:
    """The passages that speak about the question: they cover enough of its weight by themselves."""
    by_passage: list[set[str]] = [set() for _ in range(passages)]
    for candidate in candidates:
        by_passage[candidate.sentence.passage] |= candidate.own | candidate.above | candidate.source
    share = _COVERAGE * min(1.0, math.sqrt(_SHORT_QUESTION / len(asked.weights)))
    need = share * sum(asked.weights.values())
    return frozenset(n for n, stems in enumerate(by_passage) if asked.weigh(frozenset(stems)) > need)


def _score(asked: _Question, candidate: _Candidate, passage: Passage) -> float:
    sentence = candidate.sentence
    if not candidate.own and not candidate.above:
        return 0.0
    score = asked.weigh(candidate.own) + _CONTEXT_SHARE * asked.weigh(candidate.above | candidate.source)
    if sentence.kind == "row" and not candidate.own:
        score *= _UNASKED_ROW
    score *= 1.0 + 0.1 * min(candidate.adjacent, 3)
    score *= _KIND_WEIGHT[sentence.kind] * (1.0 if sentence.whole else 0.6)
    score *= 0.75 + 0.25 * max(0.0, min(1.0, passage.score)) + 0.05 / (1 + sentence.order)
    length = len(candidate.vocabulary)
    if length < 4 or length > 40:
        score *= 0.75
    if sentence.shown.endswith((":", "?")):
        score *= 0.6
    return score * _fit(asked.text, sentence)


def _fit(question: str, sentence: Sentence) -> float:
    """Whether the sentence has the form that the question asks for."""
    if _ASKS_NUMBER.search(question):
        return 1.25 if _NUMBER.search(sentence.shown) else 1.0
    if _ASKS_MEANING.search(question):
        return 1.2 if _DEFINES.search(sentence.shown) else 1.0
    return 1.0


def _select(scored: list[tuple[float, _Candidate]]) -> list[Sentence]:
    """Greedy: the best first, then what still adds something."""
    chosen: list[_Candidate] = []
    pool = [pair for pair in scored if pair[0] > 0.0]
    best = max((score for score, _ in pool), default=0.0)
    pool = [pair for pair in pool if pair[0] >= _WORTH * best]
    pool.sort(key=lambda pair: (-pair[0], pair[1].sentence.passage, pair[1].sentence.order))
    for _, candidate in pool:
        if not any(_alike(candidate, other) for other in chosen):
            chosen.append(candidate)
        if len(chosen) == MAX_SENTENCES:
            break
    return [candidate.sentence for candidate in chosen]


def _alike(a: _Candidate, b: _Candidate) -> bool:
    if a.sentence.quote in b.sentence.quote or b.sentence.quote in a.sentence.quote:
        return True
    common = len(a.vocabulary & b.vocabulary)
    return common > _SAME * min(len(a.vocabulary), len(b.vocabulary)) and common > 0
