"""From a request's body to a checked submission."""

from collections.abc import Mapping
from uuid import uuid4

from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import is_visible
from ragwork_hooks.http import Upload
from ragwork_hooks.parsing import DocumentParsing, ParseError

from ragwork_documents.ingestion.chunker import DEFAULT_OVERLAP, DEFAULT_SIZE
from ragwork_documents.ingestion.content_type import ACCEPTED, MARKDOWN, PLAIN, NoText, read_upload
from ragwork_documents.ingestion.document_service import check_chunking
from ragwork_documents.ingestion.input_checks import check_metadata, clean_filename
from ragwork_documents.ingestion.stored_file import StoredFile, stored_file
from ragwork_documents.ingestion.submission import Submission
from ragwork_documents.schemas import TextIngestRequest, UploadForm

_MARKDOWN_SUFFIXES = (".md", ".markdown")


def from_text(request: TextIngestRequest) -> Submission:
    """A raw text. Raises ``Problem`` 422 for a blank one, and for metadata or chunk sizes that don't fit."""
    if not is_visible(request.text):
        raise blank("text")
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
        source=request.text.encode(),
        filename=filename,
        content_type=MARKDOWN if markdown else PLAIN,
        ingest_source="text",
        chunk_size=request.chunk_size_chars,
        chunk_overlap=request.chunk_overlap_chars,
        metadata=request.metadata_json or {},
        chosen=frozenset(name for name, value in said.items() if value is not None),
    )


async def from_upload(form: UploadForm, parsing: DocumentParsing | None, tenant_id: str) -> Submission:
    """A file. Raises ``Problem`` 415 for a type that nobody parses, 422 for a blank one or what it can't hold, and the
    ``ProviderError`` of the parsing.
    """
    file = await _read_file(form.file, parsing, tenant_id)
    document_id = form.document_id or uuid4().hex
    return submission_of_file(file, document_id)


def submission_of_file(file: StoredFile, document_id: str, origin: str | None = None) -> Submission:
    """Raises ``Problem`` 422 for a blank text."""
    if not file.is_parsed and not is_visible(file.source.decode()):
        raise blank("file")
    return _submission(
        document_id=document_id,
        source=file.source,
        filename=clean_filename(file.filename) or document_id,
        content_type=file.media_type,
        ingest_source="upload",
        chunk_size=None,
        chunk_overlap=None,
        metadata={},
        is_parsed=file.is_parsed,
        origin=origin,
    )


async def _read_file(file: Upload, parsing: DocumentParsing | None, tenant_id: str) -> StoredFile:
    """As a text by the contract's own rules, else as a file that somebody parses. Raises ``Problem`` 415, 422."""
    try:
        text = read_upload(file)
        return StoredFile(
            source=text.text.encode(), media_type=text.content_type, filename=file.filename, is_parsed=False
        )
    except NoText:
        if parsing is None:
            raise
    try:
        return await stored_file(parsing, tenant_id, file.data, file.filename, file.content_type)
    except ParseError as error:
        accepted = sorted({*ACCEPTED, *error.accepted})
        raise Problem(
            "UNSUPPORTED_MEDIA_TYPE",
            f"file: {error.message}; accepted are {', '.join(accepted)}",
            details={"accepted": accepted, "provider_kind": "parser"},
        ) from None


def _submission(
    *,
    document_id: str,
    source: bytes,
    filename: str,
    content_type: str,
    ingest_source: str,
    chunk_size: int | None,
    chunk_overlap: int | None,
    metadata: Mapping[str, object],
    chosen: frozenset[str] = frozenset(),
    is_parsed: bool = False,
    origin: str | None = None,
) -> Submission:
    labels = check_metadata(metadata) if metadata else {}
    size = DEFAULT_SIZE if chunk_size is None else chunk_size
    overlap = chunk_overlap
    if overlap is None:
        # A size of one's own below the default overlap still gets a sensible one.
        overlap = min(DEFAULT_OVERLAP, size // 8)
    check_chunking(len(source), size, overlap)
    return Submission(
        document_id=document_id,
        source=source,
        filename=filename,
        content_type=content_type,
        ingest_source=ingest_source,
        chunk_size=size,
        chunk_overlap=overlap,
        metadata=metadata,
        labels=labels,
        chosen=chosen,
        is_parsed=is_parsed,
        origin=origin,
    )


def blank(where: str) -> Problem:
    """The refusal of a document that shows nothing; ``where`` is the body's field."""
    message = "is blank: it has no visible character"
    errors = [{"type": "string_blank", "loc": ["body", where], "msg": message}]
    return Problem("INGEST_VALIDATION_ERROR", f"{where} {message}", details={"errors": errors})
