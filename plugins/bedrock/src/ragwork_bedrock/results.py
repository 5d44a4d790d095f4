"""What a knowledge base found, as passages."""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence

import attrs
from ragwork_hooks.retrieval import Passage
from ragwork_toolkit.vendor.sendable_text import sendable_text

#: The service's chunks are a hundredth of this. What comes larger is cut, so that one freak can't fill a prompt.
MAX_PASSAGE_CHARS = 100_000
_MAX_CHUNK_ID_CHARS = 512
_URI_KEY = "x-amz-bedrock-kb-source-uri"
_CHUNK_KEY = "x-amz-bedrock-kb-chunk-id"
#: What an id of the platform looks like; anything else can't be one of its documents.
_DOCUMENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}")


def passage(result: Mapping[str, object], id_key: str) -> Passage | None:
    """One result, its score as the service gave it; ``None`` when it has no text or no identity.

    The document is the one that ``id_key`` in the metadata names, else a custom document's own id,
    else ``uri_id`` of where the text comes from. ``source`` is that place.
    """
    metadata = _cleaned_object(result.get("metadata"))
    content = result.get("content")
    text = _text(content.get("text")) if isinstance(content, Mapping) else ""
    place = _place(result.get("location")) or _text(metadata.get(_URI_KEY))
    document_id = _document_id(metadata.get(id_key), result.get("location"), place)
    if not text.strip() or document_id is None:
        return None
    text = text[:MAX_PASSAGE_CHARS]
    return Passage(
        document_id=document_id,
        chunk_id=_chunk_id(metadata.get(_CHUNK_KEY), document_id, text),
        text=text,
        score=_number(result.get("score")),
        source=place or document_id,
        end=len(text),
        metadata=metadata,
    )


def ranked(found: Iterable[Passage], top_k: int) -> Sequence[Passage]:
    """The best ``top_k``, scores in 0..1. An answer that goes beyond 1 is scaled by its largest score, which
    keeps every order and leaves the usual scores as they are.
    """
    best = sorted(found, key=lambda each: -each.score)[:top_k]
    scale = max((each.score for each in best), default=1.0)
    return best if scale <= 1.0 else [attrs.evolve(each, score=each.score / scale) for each in best]


def uri_id(uri: str) -> str:
    """The id of a document that is known by its address only.

    A digest of the whole address: a file name would let a document pass for another one of that name
    in another folder, and be read under that one's permissions.
    """
    return f"uri-{hashlib.sha256(uri.encode()).hexdigest()[:40]}"


def _document_id(named: object, location: object, place: str) -> str | None:
    if isinstance(named, int | str) and not isinstance(named, bool) and named != "":
        return str(named) if _DOCUMENT_ID.fullmatch(str(named)) else None
    custom = location.get("customDocumentLocation") if isinstance(location, Mapping) else None
    own = custom.get("id") if isinstance(custom, Mapping) else None
    if isinstance(own, str) and _DOCUMENT_ID.fullmatch(own):
        return own
    return uri_id(place) if place else None


def _place(location: object) -> str:
    """The address in whichever ``…Location`` the result has."""
    for part in location.values() if isinstance(location, Mapping) else ():
        if isinstance(part, Mapping):
            for key in ("uri", "url", "id"):
                if found := _text(part.get(key)):
                    return found
    return ""


def _chunk_id(named: object, document_id: str, text: str) -> str:
    if isinstance(named, str) and 0 < len(named) <= _MAX_CHUNK_ID_CHARS:
        return named
    return hashlib.sha256(f"{document_id}\n{text}".encode()).hexdigest()[:32]


def _number(score: object) -> float:
    """A score is missing when the search has none to give."""
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        return 0.0
    return max(0.0, float(score))


def _text(value: object) -> str:
    """``value`` if it is a text, without what neither UTF-8 nor the database can hold."""
    if not isinstance(value, str):
        return ""
    return sendable_text(value).replace("\x00", "\ufffd")


def _cleaned_object(value: object) -> Mapping[str, object]:
    return {_text(key): _cleaned(each) for key, each in value.items()} if isinstance(value, Mapping) else {}


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    if isinstance(value, Mapping):
        return _cleaned_object(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
