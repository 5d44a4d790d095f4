"""Choosing the sentences that answer a question."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import attrs
from ragwork_hooks.retrieval import Passage
from ragwork_toolkit.text.analysers import analyser_of
from ragwork_toolkit.text.analysis import Term, terms
from ragwork_toolkit.text.languages import detect

from ragwork_extractive.question_kinds import WantedKind, asked_kind, tells_number, without_asking
from ragwork_extractive.sentences import Sentence, sentences
from ragwork_extractive.terms import AskedTerms, capitalised

MAX_SENTENCES = 4
#: Sentences of a passage that is only near.
SENTENCES_IN_DOUBT = 2
#: The evidence that a passage speaks about the question: the share of the question's weight in its best sentence, the
#: retriever's ``lexical`` and ``semantic``, and its lead over others. Fitted on questions in six languages, of which a
#: quarter had no answer; with less than 1 in all the corpus does not say. A retriever that tells no parts leaves it to
#: ``_COVERAGE`` alone.
_SENTENCE, _LEXICAL, _SEMANTIC, _LEAD = 0.66, 1.28, 0.587, 0.804
#: Languages written in syllables or pairs of letters here, which a question shares by chance; so they need this much.
_SYLLABIC, _SYLLABIC_EVIDENCE = frozenset({"km", "lo", "my", "th", "vi"}), 1.06
#: A lead over fewer passages of other documents says nothing.
_COMPARED = 3
#: A passage that covers more than this share by itself answers; what covers less is only near …
_COVERAGE = 0.5
# … for questions of up to this many content words; a longer one needs the square root of it.
_SHORT_QUESTION = 8
#: A second sentence must be worth this share of the best one, a later one this, and one that lacks the kind of thing
#: that is asked for this: it says more about the matter and nothing that was asked.
_WORTH, _LATER_WORTH, _UNFIT_WORTH = 0.57, 0.68, 0.9
#: The same, where a question names several things, for one that begins with one of them that none before began with.
_TOPIC_WORTH = 0.2
_SEVERAL = re.compile(
    r"[,;\u060c\u3001]|\b(?:and|or|und|oder|et|ou|y|e|og|och|oraz|lub|ve|veya|dan|atau|v\u00e0|ho\u1eb7c|\u0219i|sau"
    r"|\u0438|\u0438\u043b\u0438|\u03ba\u03b1\u03b9|\u03ae)\b"
)
#: Sentences that share more of their words than this say the same.
_SAME = 0.6
#: What headings and the source's name count, against the sentence's own words.
_CONTEXT_SHARE = 0.45
#: What the sentence before says of the question counts for the one that goes on from it.
_BEFORE_SHARE = 0.35
#: What a table's header counts for a row whose own cells the question does not mention: it is every row's.
_UNASKED_ROW = 0.4
#: Characters of a passage that are read: twice the longest chunk. A retriever of somebody's may bring megabytes.
_LONGEST_PASSAGE = 40_000
#: Characters of each passage that its language is told from.
_SAMPLE = 200
_KIND_WEIGHT = {"text": 1.0, "item": 0.95, "row": 0.9, "code": 0.7}

_NUMBER = re.compile(r"\d+")
#: What a sentence is worth that lacks the kind of thing that is asked for.
_NO_NUMBER, _NO_NAME = 0.5, 0.6
#: What one gains that defines.
_MEANING = 1.2
#: How a sentence begins that goes on about what the one before it names.
_PRONOUN = re.compile(r"(?:He|She|They|It|His|Her|Their|Its|This|These|Those)\b")
_ASKS_MEANING = re.compile(r"^\W*(?:what (?:is|are)|what's|define|who (?:is|are))\b")
_DEFINES = re.compile(r"\b(?:is|are|means?|stands for|refers to|consists of)\b", re.IGNORECASE)


@attrs.frozen
class _Candidate:
    """A sentence with the question's terms that it covers: by itself, and further ones by what it stands
    under (headings) and in (the source's name) and after (the sentence before).
    """

    sentence: Sentence
    own: frozenset[str]
    above: frozenset[str]
    source: frozenset[str]
    before: frozenset[str]
    #: Its first term, if the question has it.
    topic: str | None
    vocabulary: frozenset[str]
    adjacent: int


@attrs.frozen
class _Scored:
    """What a candidate is worth, and whether it has the kind of thing that is asked for."""

    worth: float
    fits: bool
    candidate: _Candidate

    @property
    def rank(self) -> tuple[float, int, int]:
        return -self.worth, self.candidate.sentence.passage, self.candidate.sentence.order


@attrs.frozen
class _Question:
    text: str
    kind: WantedKind
    language: str
    weights: dict[str, float]

    def weigh(self, terms: frozenset[str]) -> float:
        return sum(self.weights[term] for term in terms)


@attrs.frozen
class _Shares:
    """How much of the question's weight a passage has by itself, and its best sentence alone."""

    passage: float
    sentence: float


@attrs.frozen
class _Answering:
    """The passages to take sentences from, and how many at most."""

    passages: frozenset[int]
    most: int
    in_doubt: bool


@attrs.frozen
class Chosen:
    """The sentences of an answer; ``in_doubt`` when they are near to the question rather than an answer."""

    sentences: tuple[Sentence, ...]
    in_doubt: bool = False


def choose(question: str, passages: Sequence[Passage]) -> Chosen:
    """The sentences that answer, in the order of passages and text; none when the passages don't say."""
    language = detect(question)
    asked_terms = AskedTerms(without_asking(question, language))
    readers = _analysers(question, passages)
    weights = {analyser: asked_terms.weights(analyser) for analyser in dict.fromkeys(readers)}
    if not any(weights.values()):
        return Chosen(())
    candidates = _candidates(weights, readers, passages)
    kind = asked_kind(question, language)
    asked = {
        analyser: _Question(question.casefold(), kind, language, _by_rarity(base, candidates))
        for analyser, base in weights.items()
    }
    shares = [
        _shares(asked[reader], [c for c in candidates if c.sentence.passage == number])
        for number, reader in enumerate(readers)
    ]
    evidence = _SYLLABIC_EVIDENCE if language in _SYLLABIC else 1.0
    answering = _answering(shares, passages, _needed(weights), evidence)
    scored = [
        _score(asked[readers[c.sentence.passage]], c, passages[c.sentence.passage])
        for c in candidates
        if c.sentence.passage in answering.passages
    ]
    several = _SEVERAL.search(question.casefold()) is not None
    selected = _select(scored, answering.most, several=several)
    if kind.name:
        selected = _with_named(selected, candidates)
    ordered = sorted(selected, key=lambda s: (s.passage, s.order))
    return Chosen(tuple(ordered), in_doubt=answering.in_doubt)


def _analysers(question: str, passages: Sequence[Passage]) -> list[str]:
    """What reads each passage. Those whose language nobody told are taken for one text, the question with it."""
    untold = [passage.text[:_SAMPLE] for passage in passages if not passage.language]
    language = detect("\n".join((question, *untold))) if untold else ""
    return [analyser_of(passage.language or language) for passage in passages]


def _candidates(
    weights: Mapping[str, Mapping[str, float]], readers: Sequence[str], passages: Sequence[Passage]
) -> list[_Candidate]:
    found: list[_Candidate] = []
    for number, (passage, reader) in enumerate(zip(passages, readers, strict=True)):
        base = weights[reader]
        source = frozenset(term.text for term in terms(passage.source, reader) if term.text in base)
        above: dict[str, frozenset[str]] = {}
        before: frozenset[str] = frozenset()
        for sentence in sentences(number, passage.text[:_LONGEST_PASSAGE]):
            if sentence.above not in above:
                headings = terms(sentence.above, reader)
                above[sentence.above] = frozenset(term.text for term in headings if term.text in base)
            own = terms(sentence.own, reader)
            found.append(_candidate(sentence, own, above[sentence.above], source, before, base))
            before = found[-1].own
    return found


def _candidate(
    sentence: Sentence,
    own: Sequence[Term],
    above: frozenset[str],
    source: frozenset[str],
    before: frozenset[str],
    base: Mapping[str, float],
) -> _Candidate:
    hits = [term.text if term.text in base else None for term in own]
    covered = frozenset(hit for hit in hits if hit is not None)
    return _Candidate(
        sentence=sentence,
        own=covered,
        above=above - covered,
        source=source - covered - above,
        before=before - covered,
        topic=next((term.text if term.text in base else None for term in own if not term.stop), None),
        vocabulary=frozenset(term.text for term in own if not term.stop),
        adjacent=sum(1 for a, b in pairwise(hits) if a and b and a != b) if len(covered) > 1 else 0,
    )


def _by_rarity(base: Mapping[str, float], candidates: Sequence[_Candidate]) -> dict[str, float]:
    """Weights times inverse sentence frequency; a word that nothing mentions weighs as a rare one."""
    count = Counter(term for c in candidates for term in c.own)
    total = len(candidates)
    return {term: weight * math.log(1 + (total + 1) / (count[term] + 0.5)) for term, weight in base.items()}


def _shares(asked: _Question, candidates: Sequence[_Candidate]) -> _Shares:
    covered = [c.own | c.above | c.source for c in candidates]
    whole = sum(asked.weights.values()) or 1.0
    return _Shares(
        passage=asked.weigh(frozenset[str]().union(*covered)) / whole,
        sentence=max(map(asked.weigh, covered), default=0.0) / whole,
    )


def _needed(weights: Mapping[str, Mapping[str, float]]) -> float:
    longest = max(map(len, weights.values()))
    return _COVERAGE * min(1.0, math.sqrt(_SHORT_QUESTION / longest))


def _answering(
    shares: Sequence[_Shares], passages: Sequence[Passage], needed: float, needed_evidence: float
) -> _Answering:
    """Which passages speak about the question."""
    enough = frozenset(number for number, each in enumerate(shares) if each.passage > needed)
    if any(passage.lexical is None for passage in passages):
        return _Answering(enough, MAX_SENTENCES, in_doubt=False)
    evidence = [_evidence(each, number, passages) for number, each in enumerate(shares)]
    best = max(range(len(evidence)), key=lambda number: (evidence[number], -number))
    if evidence[best] < needed_evidence:
        return _Answering(frozenset(), 0, in_doubt=False)
    if enough:
        return _Answering(enough, MAX_SENTENCES, in_doubt=False)
    return _Answering(frozenset({best}), SENTENCES_IN_DOUBT, in_doubt=True)


def _evidence(shares: _Shares, number: int, passages: Sequence[Passage]) -> float:
    passage = passages[number]
    lexical, semantic = passage.lexical or 0.0, max(0.0, passage.semantic or 0.0)
    lead = _lead(number, passages)
    return _SENTENCE * shares.sentence + _LEXICAL * lexical + _SEMANTIC * semantic + _LEAD * lead


def _lead(number: int, passages: Sequence[Passage]) -> float:
    """How far the retriever puts a passage above those of other documents, 0.0 to 1.0."""
    others = [p.score for p in passages if p.document_id != passages[number].document_id]
    if len(others) < _COMPARED:
        return 0.0
    return max(0.0, passages[number].score - sum(others) / len(others))


def _score(asked: _Question, candidate: _Candidate, passage: Passage) -> _Scored:
    fit = _fit(asked, candidate.sentence)
    return _Scored(_worth(asked, candidate, passage) * fit, fit >= 1, candidate)


def _worth(asked: _Question, candidate: _Candidate, passage: Passage) -> float:
    sentence = candidate.sentence
    if not candidate.own and not candidate.above:
        return 0.0
    score = asked.weigh(candidate.own) + _CONTEXT_SHARE * asked.weigh(candidate.above | candidate.source)
    score += _BEFORE_SHARE * asked.weigh(candidate.before)
    if sentence.kind == "row" and not candidate.own:
        score *= _UNASKED_ROW
    score *= 1.0 + 0.1 * min(candidate.adjacent, 3)
    score *= _KIND_WEIGHT[sentence.kind] * (1.0 if sentence.whole else 0.6)
    score *= 0.4 + 0.6 * max(0.0, min(1.0, passage.score)) + 0.05 / (1 + sentence.order)
    length = len(candidate.vocabulary)
    if length < 4 or length > 40:
        score *= 0.75
    if sentence.shown.endswith((":", "?")):
        score *= 0.6
    return score


def _fit(asked: _Question, sentence: Sentence) -> float:
    """Whether the sentence has what the question asks for, and does not only repeat it."""
    if asked.kind.number:
        told = any(number not in asked.text for number in _NUMBER.findall(sentence.shown)) or tells_number(
            sentence.shown, asked.language
        )
        return 1.0 if told else _NO_NUMBER
    if asked.kind.name:
        told = any(name.casefold() not in asked.text for name in capitalised(sentence.shown))
        return 1.0 if told else _NO_NAME
    return _MEANING if _ASKS_MEANING.search(asked.text) and _DEFINES.search(sentence.shown) else 1.0


def _select(scored: Sequence[_Scored], most: int, *, several: bool) -> list[Sentence]:
    """Greedy: the best first, then what still adds something."""
    chosen: list[_Candidate] = []
    topics: set[str | None] = {None}
    best = max((each.worth for each in scored), default=0.0)
    for each in sorted((each for each in scored if each.worth > 0), key=lambda each: each.rank):
        candidate = each.candidate
        new_topic = several and candidate.topic not in topics
        needed = _TOPIC_WORTH if new_topic else _needed_worth(len(chosen), fits=each.fits)
        if each.worth < needed * best or any(_alike(candidate, other) for other in chosen):
            continue
        chosen.append(candidate)
        topics.add(candidate.topic)
        if len(chosen) == most:
            break
    return [candidate.sentence for candidate in chosen]


def _needed_worth(chosen: int, *, fits: bool) -> float:
    """What share of the best one's worth a sentence needs after ``chosen`` others."""
    if chosen and not fits:
        return _UNFIT_WORTH
    return _WORTH if chosen < 2 else _LATER_WORTH


def _with_named(selected: list[Sentence], candidates: Sequence[_Candidate]) -> list[Sentence]:
    """``selected``; where it is one sentence alone about somebody whom the one before it names, that one, too."""
    if len(selected) != 1 or not _PRONOUN.match(selected[0].shown):
        return selected
    (only,) = selected
    place = (only.passage, only.order - 1)
    before = (c.sentence for c in candidates if (c.sentence.passage, c.sentence.order) == place)
    return [*selected, *(sentence for sentence in before if sentence.kind == "text")]


def _alike(a: _Candidate, b: _Candidate) -> bool:
    if a.sentence.quote in b.sentence.quote or b.sentence.quote in a.sentence.quote:
        return True
    common = len(a.vocabulary & b.vocabulary)
    return common > _SAME * min(len(a.vocabulary), len(b.vocabulary)) and common > 0
