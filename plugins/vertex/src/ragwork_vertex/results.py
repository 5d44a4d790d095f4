"""What Vertex AI Search found, as passages."""

import hashlib
import html
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs
from ragwork_hooks.retrieval import Passage

#: The service's pieces are a hundredth of this. What comes larger is cut, so that one freak can't fill a prompt.
MAX_PASSAGE_CHARS = 100_000
#: What an id of the platform looks like; anything else can't be one of its documents.
_DOCUMENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}")
_DOCUMENT_NAME = re.compile(r"/documents/([^/]+)")
_TAG = re.compile(r"</?\w{1,10}>")


@attrs.frozen(kw_only=True)
class Piece:
    """A passage that has no score yet. ``score`` is the service's, if it gave one; ``place`` is the rank
    of the piece within its document, and that of the document.
    """

    passage: Passage
    score: float | None
    place: tuple[int, int]


def pieces(result: Mapping[str, object], rank: int) -> Sequence[Piece]:
    """The pieces of the result at ``rank`` (from 0). Empty when it has no text or no identity.

    The document is the one that ``document_id`` in its own or its derived data names, else the result's
    document itself.
    """
    chunk = _object(result.get("chunk"))
    document = _object(chunk.get("documentMetadata")) if chunk else _object(result.get("document"))
    own, derived = _object(document.get("structData")), _object(document.get("derivedStructData"))
    document_id = _document_id(own, derived, chunk or document, result.get("id"))
    if document_id is None:
        return ()
    title = _text(document.get("title")) or _text(derived.get("title")) or _text(own.get("title"))
    source = _text(document.get("uri")) or _text(derived.get("link")) or title or document_id
    metadata = {"title": title, **own} if title else own
    found: list[Piece] = []
    for number, (text, score) in enumerate(_texts(result, chunk, derived)):
        passage = Passage(
            document_id=document_id,
            chunk_id=_text(chunk.get("id"))[:512] or _digest(document_id, text),
            text=text,
            score=0.0,
            source=source,
            end=len(text),
            metadata=metadata,
        )
        found.append(Piece(passage=passage, score=score, place=(number, rank)))
    return found


def ranked(found: Iterable[Piece], top_k: int, *, distinct: bool) -> Sequence[Passage]:
    """The best ``top_k`` with scores in 0..1, falling; with ``distinct`` one of each document.

    The service's scores count when every piece has one, scaled by the largest if that is above 1.
    Otherwise the order is the best of each document, then the second best of each and so on, and the
    n-th passage (from 1) has the score 1/n.
    """
    every = list(found)
    scored = all(piece.score is not None for piece in every)
    every.sort(key=(lambda piece: -(piece.score or 0.0)) if scored else (lambda piece: piece.place))
    best: dict[tuple[str, str], Piece] = {}
    for piece in every:
        chunk_id = "" if distinct else piece.passage.chunk_id
        best.setdefault((piece.passage.document_id, chunk_id), piece)
    kept = list(best.values())[:top_k]
    scale = max([1.0, *(piece.score or 0.0 for piece in kept)])
    return [
        attrs.evolve(
            piece.passage, score=max(0.0, piece.score or 0.0) / scale if scored else 1.0 / (number + 1)
        )
        for number, piece in enumerate(kept)
    ]


def _texts(
    result: Mapping[str, object], chunk: Mapping[str, object], derived: Mapping[str, object]
) -> Iterator[tuple[str, float | None]]:
    """Texts with their scores, best first, of the richest form that the result has."""
    if chunk:
        parts = [(chunk.get("content"), _number(chunk.get("relevanceScore")))]
    else:
        whole = _model_score(result)
        segments = _objects(derived.get("extractive_segments"))
        answers = segments or _objects(derived.get("extractive_answers"))
        parts = [
            (part.get("content"), _first(_number(part.get("relevanceScore")), whole)) for part in answers
        ]
        parts = parts or [(text, whole) for text in _snippets(derived)]
    for part, score in parts:
        text = _text(part)[:MAX_PASSAGE_CHARS]
        if text.strip():
            yield text, score


def _snippets(derived: Mapping[str, object]) -> Iterator[str]:
    """Snippets without their highlighting. One that says that there is none isn't one."""
    for part in _objects(derived.get("snippets")):
        if part.get("snippet_status", "SUCCESS") == "SUCCESS":
            yield html.unescape(_TAG.sub("", _text(part.get("snippet"))))


def _document_id(
    own: Mapping[str, object], derived: Mapping[str, object], thing: Mapping[str, object], result_id: object
) -> str | None:
    for named in (own.get("document_id"), derived.get("document_id")):
        if isinstance(named, int | str) and not isinstance(named, bool) and named != "":
            return str(named) if _DOCUMENT_ID.fullmatch(str(named)) else None
    within = _DOCUMENT_NAME.search(_text(thing.get("name")))
    itself = within[1] if within else _text(result_id)
    return itself if _DOCUMENT_ID.fullmatch(itself) else None


def _model_score(result: Mapping[str, object]) -> float | None:
    values = _object(_object(result.get("modelScores")).get("relevance_score")).get("values")
    return _number(values[0]) if isinstance(values, list) and values else None


def _first(*scores: float | None) -> float | None:
    return next((score for score in scores if score is not None), None)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _digest(document_id: str, text: str) -> str:
    return hashlib.sha256(f"{document_id}\n{text}".encode()).hexdigest()[:32]


def _text(value: object) -> str:
    """``value`` if it is a text, without what the database can't hold."""
    return value.replace("\x00", "\ufffd") if isinstance(value, str) else ""


def _object(value: object) -> Mapping[str, object]:
    return {_text(key): _cleaned(each) for key, each in value.items()} if isinstance(value, Mapping) else {}


def _objects(value: object) -> Sequence[Mapping[str, object]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else ()


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # the wire has no whole numbers
    return _object(value) if isinstance(value, Mapping) else value
