"""From a request's body to a checked submission."""

from collections.abc import Mapping
from uuid import uuid4

from ragwork_documents.chunker import DEFAULT_OVERLAP, DEFAULT_SIZE
from ragwork_documents.hostile import check_metadata, clean_filename
from ragwork_documents.intake import Submission, check_chunking
from ragwork_documents.shapes import TextIngestRequest, UploadForm
from ragwork_documents.sniff import MARKDOWN, PLAIN, read_upload

_MARKDOWN_SUFFIXES = (".md", ".markdown")


def from_text(request: TextIngestRequest) -> Submission:
    """A raw text. Raises ``Problem`` 422 for metadata or chunk sizes that don't fit."""
    document_id = request.document_id or uuid4().hex
    filename = clean_filename(request.filename or "") or f"{document_id}.txt"
    markdown = filename.lower().endswith(_MARKDOWN_SUFFIXES)
    metadata: Mapping[str, object] = request.metadata_json or {}
    return _submission(
        document_id=document_id,
        text=request.text,
        filename=filename,
        content_type=MARKDOWN if markdown else PLAIN,
        ingest_source="text",
        chunk_size=request.chunk_size_chars,
        chunk_overlap=request.chunk_overlap_chars,
        metadata=metadata,
    )


def from_upload(form: UploadForm) -> Submission:
    """A file. Raises ``Problem`` 415 for a type that is not accepted, 422 for what it can't hold."""
    source = read_upload(form.file)
    document_id = form.document_id or uuid4().hex
    return _submission(
        document_id=document_id,
        text=source.text,
        filename=clean_filename(form.file.filename) or document_id,
        content_type=source.content_type,
        ingest_source="upload",
        chunk_size=None,
        chunk_overlap=None,
        metadata={},
    )


def _submission(
    *,
    document_id: str,
    text: str,
    filename: str,
    content_type: str,
    ingest_source: str,
    chunk_size: int | None,
    chunk_overlap: int | None,
    metadata: Mapping[str, object],
) -> Submission:
    labels = check_metadata(metadata) if metadata else {}
    size = DEFAULT_SIZE if chunk_size is None else chunk_size
    overlap = chunk_overlap
    if overlap is None:
        # A size of one's own below the default overlap still gets a sensible one.
        overlap = min(DEFAULT_OVERLAP, size // 8)
    check_chunking(len(text), size, overlap)
    return Submission(
        document_id=document_id,
        text=text,
        filename=filename,
        content_type=content_type,
        ingest_source=ingest_source,
        chunk_size=size,
        chunk_overlap=overlap,
        metadata=metadata,
        labels=labels,
    )
