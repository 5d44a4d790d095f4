"""A claimed document, from its source to pieces that are embedded and indexed."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import attrs
from ragwork_hooks.jobs import PermanentFailure
from ragwork_hooks.parsing import Parsed
from ragwork_hooks.retrieval import Chunk, IndexedDocument
from ragwork_hooks.storage import Row
from ragwork_toolkit.rows import from_object
from ragwork_toolkit.text.languages import detect

from ragwork_documents.ingestion.attachments import ReadableAttachments
from ragwork_documents.ingestion.chunker import Span, split
from ragwork_documents.ingestion.content_type import MARKDOWN
from ragwork_documents.ingestion.document_service import MAX_CHUNKS
from ragwork_documents.ingestion.file_text import rendered, text_key
from ragwork_documents.ingestion.heading_paths import HeadingPaths
from ragwork_documents.ingestion.ingest_payload import DocumentGeneration
from ragwork_documents.ingestion.stored_file import StoredFile

#: Warnings of a document that are kept.
MAX_WARNINGS: Final = 50


@attrs.frozen(kw_only=True)
class DocumentPiece:
    """A piece of a document's text, to be embedded and indexed."""

    id: str
    ordinal: int
    text: str
    start: int
    end: int
    #: Of what is embedded.
    digest: str
    #: The headings above it, which are embedded with it.
    context: str
    metadata: Mapping[str, object]


@attrs.frozen(kw_only=True)
class CutDocument:
    """A claimed document, what it is written in, its pieces, and the digests whose vectors the index has.
    ``metadata`` is what its file says of itself, ``attached`` what was in it.
    """

    target: DocumentGeneration
    language: str
    pieces: Sequence[DocumentPiece]
    #: A file's text, and where it is kept.
    file_text: tuple[str, bytes] | None
    known: frozenset[str]
    metadata: Mapping[str, object]
    warnings: Sequence[str]
    attached: Sequence[StoredFile]


@attrs.frozen(kw_only=True)
class ClaimedDocument:
    """A document that is being ingested, with its source; ``None`` when that is gone."""

    target: DocumentGeneration
    source: bytes | None
    blob_key: str
    content_type: str
    filename: str
    is_parsed: bool
    #: What a parser found in the source, where it is no text, and what of that can be read in turn.
    parsed: Parsed | None
    attachments: ReadableAttachments
    size: int
    overlap: int
    known: frozenset[str]


def claimed_document(row: Row, source: bytes | None, known: frozenset[str]) -> ClaimedDocument:
    return ClaimedDocument(
        target=DocumentGeneration(document_id=row["id"], generation=row["generation"]),
        source=source,
        blob_key=row["blob_key"],
        content_type=row["content_type"],
        filename=row["filename"],
        is_parsed=row["is_parsed"],
        parsed=None,
        attachments=ReadableAttachments(),
        size=row["chunk_size"],
        overlap=row["chunk_overlap"],
        known=known,
    )


def cut_all(claimed: Sequence[ClaimedDocument]) -> Sequence[CutDocument]:
    return [_cut(document) for document in claimed]


def _cut(document: ClaimedDocument) -> CutDocument:
    if document.source is None:
        raise PermanentFailure("the document's source is gone")
    # One stored by an earlier release may have more.
    overlap = min(document.overlap, document.size // 2)
    file = None if document.parsed is None else rendered(document.parsed)
    text = document.source.decode() if file is None else file.text
    markdown = file is not None or document.content_type == MARKDOWN
    headings = HeadingPaths(text) if markdown and file is None else None
    pieces: list[DocumentPiece] = []
    for span in split(text, document.size, overlap, markdown=markdown):
        if len(pieces) == MAX_CHUNKS:
            raise PermanentFailure(f"the document makes more than {MAX_CHUNKS} chunks")
        place: Mapping[str, object] = {} if file is None else file.place(span.start, span.end)
        if headings is not None and (path := headings.at(span.start)):
            place = {"headings": list(path)}
        pieces.append(_piece(document.target.document_id, len(pieces), span, span.of(text), place))
    if file is not None and not pieces and not document.attachments.files:
        raise PermanentFailure("no_text: there is no text in the file")
    return CutDocument(
        target=document.target,
        language=detect(text) or _declared_language(document.parsed),
        pieces=pieces,
        known=document.known,
        metadata=_metadata(document.parsed),
        warnings=_bounded(
            [*(document.parsed.warnings if document.parsed else ()), *document.attachments.warnings]
        ),
        attached=document.attachments.files,
        file_text=None if file is None else (text_key(document.blob_key), text.encode()),
    )


def _bounded(warnings: Sequence[str]) -> Sequence[str]:
    more = len(warnings) - MAX_WARNINGS
    return warnings if more <= 0 else [*warnings[:MAX_WARNINGS], f"and {more} more"]


def _metadata(parsed: Parsed | None) -> Mapping[str, object]:
    """What a file says of itself, as passages carry it."""
    if parsed is None:
        return {}
    said = {
        "title": parsed.title,
        "author": parsed.author,
        "created": parsed.created and parsed.created.isoformat(),
        "modified": parsed.modified and parsed.modified.isoformat(),
    }
    return {name: value for name, value in said.items() if value}


def _declared_language(parsed: Parsed | None) -> str:
    """ISO 639-1 of a tag such as ``de-CH``; "" for none."""
    tag = ((parsed and parsed.language) or "").partition("-")[0].lower()
    return tag if len(tag) == 2 else ""


def _piece(
    document_id: str, ordinal: int, span: Span, text: str, place: Mapping[str, object]
) -> DocumentPiece:
    headings = place.get("headings")
    context = " \u203a ".join(headings) + "\n\n" if isinstance(headings, list) else ""
    return DocumentPiece(
        id=f"{document_id}:{ordinal}",
        ordinal=ordinal,
        text=text,
        start=span.start,
        end=span.end,
        digest=hashlib.sha256((context + text).encode()).hexdigest(),
        context=context,
        metadata=place,
    )


def indexed_document(
    row: Row,
    corpus_id: str,
    embedder: str,
    work: CutDocument,
    vectors: Mapping[str, Sequence[float]],
    readers: Mapping[str, str | None],
) -> IndexedDocument:
    return IndexedDocument(
        document_id=row["id"],
        corpus_id=corpus_id,
        version=row["generation"],
        source=row["filename"],
        owner=row["owner"],
        embedder=embedder,
        language=work.language,
        chunks=[
            from_object(Chunk, piece, vector=None if piece.digest in work.known else vectors[piece.digest])
            for piece in work.pieces
        ],
        metadata={**work.metadata, **row["metadata"]},
        labels=row["labels"],
        readers=readers,
    )
