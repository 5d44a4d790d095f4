"""What a data store of Discovery Engine answers: the results of a search, as the service words them."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from ragwork_testkit.google_filter import matches

_MAX_SEGMENTS = 10
_BRANCH = "projects/1/locations/global/collections/default_collection/dataStores/s/branches/0"


@attrs.frozen(kw_only=True)
class SearchPart:
    """A piece of a document in a data store. ``fields`` are the document's own data."""

    document_id: str
    text: str
    score: float | None = 0.5
    fields: Mapping[str, Any] = attrs.field(factory=dict)


def found_by(request: Mapping[str, Any], parts: Sequence[SearchPart]) -> list[dict[str, Any]]:
    """All results of a search in ``parts``, best first. Raises ``FilterSyntaxError``."""
    expression = request.get("filter", "")
    found = [part for part in parts if not expression or matches(expression, part.fields)]
    spec = request.get("contentSearchSpec", {})
    by_chunk = spec.get("searchResultMode") in (2, "CHUNKS")
    return _chunks(found) if by_chunk else _documents(found, spec)


def _documents(found: Sequence[SearchPart], spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One result for each document, with what was asked for of its pieces."""
    together: dict[str, list[SearchPart]] = {}
    for part in found:
        together.setdefault(part.document_id, []).append(part)
    extractive = spec.get("extractiveContentSpec", {})
    count = min(int(extractive.get("maxExtractiveSegmentCount", 0)), _MAX_SEGMENTS)
    scored = bool(extractive.get("returnExtractiveSegmentScore"))
    return [
        {
            "id": f"r{number}",
            "document": {
                "id": f"r{number}",
                "name": f"{_BRANCH}/documents/r{number}",
                "structData": {"document_id": document_id, **parts[0].fields},
                "derivedStructData": {
                    "link": f"gs://test/{number}.txt",
                    **(
                        {"extractive_segments": [_segment(p, scored) for p in parts[:count]]} if count else {}
                    ),
                    **({"snippets": _snippets(parts)} if spec.get("snippetSpec") else {}),
                },
            },
        }
        for number, (document_id, parts) in enumerate(together.items())
    ]


def _segment(part: SearchPart, scored: bool) -> dict[str, Any]:
    score = {"relevanceScore": part.score} if scored and part.score is not None else {}
    return {"content": part.text, "pageNumber": "1", **score}


def _snippets(parts: Sequence[SearchPart]) -> list[dict[str, str]]:
    text = parts[0].text.replace("&", "&amp;").replace("gate", "<b>gate</b>")
    return [{"snippet": text, "snippet_status": "SUCCESS"}]


def _chunks(found: Sequence[SearchPart]) -> list[dict[str, Any]]:
    return [
        {
            "id": f"c{number}",
            "chunk": {
                "id": f"c{number}",
                "name": f"{_BRANCH}/documents/r{number}/chunks/c{number}",
                "content": part.text,
                "documentMetadata": {
                    "uri": f"gs://test/{number}.txt",
                    "structData": {"document_id": part.document_id, **part.fields},
                },
                **({} if part.score is None else {"relevanceScore": part.score}),
            },
        }
        for number, part in enumerate(found)
    ]
