"""From a request's body to a checked submission."""

from collections.abc import Mapping
from uuid import uuid4

from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import is_visible

from ragwork_documents.ingestion.chunker import DEFAULT_OVERLAP, DEFAULT_SIZE
from ragwork_documents.ingestion.content_type import MARKDOWN, PLAIN, read_upload
from ragwork_documents.ingestion.document_service import Submission, check_chunking
from ragwork_documents.ingestion.input_checks import check_metadata, clean_filename
from ragwork_documents.schemas import TextIngestRequest, UploadForm

_MARKDOWN_SUFFIXES = (".md", ".markdown")


def from_text(request: TextIngestRequest) -> Submission:
    """A raw text. Raises ``Problem`` 422 for a blank one, and for metadata or chunk sizes that don't fit."""
    document_id = request.document_id or uuid4().hex
    filename = clean_filename(request.filename or "") or f"{document_id}.txt"
    markdown = filename.lower().endswith(_MARKDOWN_SUFFIXES)
    said = {
        "metadata_json": request.metadata_json,
        "chunk_size_chars": request.chunk_size_chars,
        "chunk_overlap_chars": request.chunk_overlap_chars,
    }
    return _submission(
        document_id=document_id,
        text=request.text,
        where="text",
        filename=filename,
        content_type=MARKDOWN if markdown else PLAIN,
        ingest_source="text",
        chunk_size=request.chunk_size_chars,
        chunk_overlap=request.chunk_overlap_chars,
        metadata=request.metadata_json or {},
        chosen=frozenset(name for name, value in said.items() if value is not None),
    )


def from_upload(form: UploadForm) -> Submission:
    """A file. Raises ``Problem`` 415 for a type that is not accepted, 422 for a blank one or what it can't hold."""
    source = read_upload(form.file)
    document_id = form.document_id or uuid4().hex
    return _submission(
        document_id=document_id,
        text=source.text,
        where="file",
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
    where: str,
    filename: str,
    content_type: str,
    ingest_source: str,
    chunk_size: int | None,
    chunk_overlap: int | None,
    metadata: Mapping[str, object],
    chosen: frozenset[str] = frozenset(),
) -> Submission:
    if not is_visible(text):
        raise blank(where)
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
        chosen=chosen,
    )


def blank(where: str) -> Problem:
    """The refusal of a document that shows nothing; ``where`` is the body's field."""
    message = "is blank: it has no visible character"
    errors = [{"type": "string_blank", "loc": ["body", where], "msg": message}]
    return Problem("INGEST_VALIDATION_ERROR", f"{where} {message}", details={"errors": errors})
