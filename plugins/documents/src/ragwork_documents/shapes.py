"""Bodies, queries and answers of the routes, as the wire contract names them."""

from datetime import datetime

import attrs
from ragwork_hooks import fields
from ragwork_hooks.fields import SCHEMA, FieldError, choice, identifier, number
from ragwork_hooks.http import Upload

from ragwork_documents.chunker import MIN_SIZE
from ragwork_documents.config import LARGEST_BODY

MAX_CHUNK_SIZE = 20_000
MAX_LIST = 1_000
MAX_BULK_GRANTS = 200
MAX_QUESTION = 20_000

PRINCIPAL_TYPES = ("user", "api_key", "group", "role", "tenant")


def _aware(_instance: object, _attribute: object, value: datetime | None) -> None:
    if value is not None and value.utcoffset() is None:
        raise FieldError("timezone_aware", "must carry an offset such as +00:00")


def _bulk(_instance: object, _attribute: object, value: list[object]) -> None:
    if not 1 <= len(value) <= MAX_BULK_GRANTS:
        raise FieldError("list_length", f"needs 1 to {MAX_BULK_GRANTS} entries")


@attrs.frozen(kw_only=True)
class ListQuery:
    """Bounds of a list."""

    limit: int = number(default=MAX_LIST, ge=1, le=MAX_LIST)
    offset: int = number(default=0, ge=0, le=10_000_000)


@attrs.frozen(kw_only=True)
class DocumentListQuery(ListQuery):
    """Bounds of a list of documents, of one corpus if named."""

    corpus_id: str | None = fields.text(default=None, max_length=128)


@attrs.frozen(kw_only=True)
class CorpusCreateRequest:
    """A new corpus."""

    id: str = identifier()
    name: str = fields.text(min_length=1, max_length=200, visible=True)
    provider_config_json: dict[str, object] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class CorpusPatchRequest:
    """What to change of a corpus; what is absent or null stays. The configuration is the owner's and
    administrators' to change, the ``owner`` (a user's id) an administrator's.
    """

    name: str | None = fields.text(default=None, min_length=1, max_length=200, visible=True)
    provider_config_json: dict[str, object] | None = None
    owner: str | None = fields.text(default=None, min_length=1, max_length=128)


@attrs.frozen(kw_only=True)
class CorpusResponse:
    """A corpus. Without an ``owner`` it is configured by administrators only."""

    id: str
    tenant_id: str
    name: str
    owner: str | None
    provider_config_json: dict[str, object]
    created_at: datetime


@attrs.frozen(kw_only=True)
class UploadForm:
    """A file to ingest."""

    corpus_id: str = fields.text(min_length=1, max_length=128)
    file: Upload
    document_id: str | None = identifier(default=None)
    overwrite: bool = False


@attrs.frozen(kw_only=True)
class TextIngestRequest:
    """A text to ingest, with something to see in it. Chunks overlap by half their size at most."""

    corpus_id: str = fields.text(min_length=1, max_length=128)
    text: str = fields.text(max_length=LARGEST_BODY)
    document_id: str | None = identifier(default=None)
    filename: str | None = fields.text(default=None, max_length=255)
    metadata_json: dict[str, object] | None = None
    chunk_size_chars: int | None = number(default=None, ge=MIN_SIZE, le=MAX_CHUNK_SIZE)
    chunk_overlap_chars: int | None = number(default=None, ge=0, le=MAX_CHUNK_SIZE // 2)
    overwrite: bool = False


@attrs.frozen(kw_only=True)
class ReindexRequest:
    """How to cut the document anew; what is absent stays as it was, the overlap within half the size."""

    chunk_size_chars: int | None = number(default=None, ge=MIN_SIZE, le=MAX_CHUNK_SIZE)
    chunk_overlap_chars: int | None = number(default=None, ge=0, le=MAX_CHUNK_SIZE // 2)


@attrs.frozen(kw_only=True)
class DocumentAccepted:
    """Where an accepted document stands, and where to ask again."""

    document_id: str
    status: str
    job_id: str | None
    status_url: str


@attrs.frozen(kw_only=True)
class Progress:
    """How far ingestion is. ``attempt`` counts from 1; ``next_attempt_at`` is set while it waits to retry."""

    phase: str
    chunks_done: int
    chunks_total: int | None
    attempt: int
    next_attempt_at: datetime | None


@attrs.frozen(kw_only=True)
class DocumentResponse:
    """A document and its life so far."""

    id: str
    tenant_id: str
    corpus_id: str
    filename: str
    content_type: str
    source: str
    ingest_source: str
    status: str
    failure_reason: str | None
    created_at: datetime
    updated_at: datetime
    queued_at: datetime | None
    processing_started_at: datetime | None
    completed_at: datetime | None
    last_reindexed_at: datetime | None
    last_job_id: str | None
    num_chunks: int | None
    progress: Progress


@attrs.frozen(kw_only=True)
class DocumentPermissionRequest:
    """A grant. A principal of type ``tenant`` is the caller's own tenant. A user or group who does not exist is
    refused, unless ``create`` makes the user (a reader) or the group (without members).
    """

    principal_type: str = choice(*PRINCIPAL_TYPES)
    principal_id: str = fields.text(min_length=1, max_length=128)
    permission: str = choice("read", "write", "delete", "reindex", "owner")
    expires_at: datetime | None = attrs.field(default=None, validator=_aware)
    create: bool = False


@attrs.frozen(kw_only=True)
class DocumentPermissionBulkRequest:
    """Several grants, given all or none."""

    permissions: list[DocumentPermissionRequest] = attrs.field(
        validator=_bulk, metadata={SCHEMA: {"minItems": 1, "maxItems": MAX_BULK_GRANTS}}
    )


@attrs.frozen(kw_only=True)
class DocumentPermissionResponse:
    """A grant on a document."""

    id: str
    tenant_id: str
    document_id: str
    principal_type: str
    principal_id: str
    permission: str
    granted_by: str | None
    expires_at: datetime | None
    created_at: datetime


@attrs.frozen(kw_only=True)
class DocumentPermissionList:
    """All grants on a document, expired ones included."""

    items: list[DocumentPermissionResponse]


@attrs.frozen(kw_only=True)
class DocumentPermissionBulkResponse:
    """The grants as they now stand, in the order asked."""

    items: list[DocumentPermissionResponse]


@attrs.frozen(kw_only=True)
class RetrieveRequest:
    """A question to one corpus, or to 2 to 8 at once: exactly one of ``corpus_id`` and ``corpus_ids``.
    ``filter`` maps metadata keys to a value or a list of values.
    """

    query: str = fields.text(min_length=1, max_length=MAX_QUESTION, visible=True)
    corpus_id: str | None = fields.text(default=None, min_length=1, max_length=128)
    corpus_ids: list[str] | None = None
    top_k: int | None = number(default=None, ge=1, le=50)
    filter: dict[str, object] | None = None
    distinct: str | None = choice("document", default=None)


@attrs.frozen(kw_only=True)
class PassageResponse:
    """A passage. ``score`` is 0.0 to 1.0, larger is better; over several corpora it tells the order only."""

    corpus_id: str
    document_id: str
    chunk_id: str
    text: str
    score: float
    source: str
    metadata: dict[str, object]


@attrs.frozen(kw_only=True)
class FailedCorpus:
    """A corpus that could not answer beside others that did; ``code`` is its provider's."""

    corpus_id: str
    code: str


@attrs.frozen(kw_only=True)
class RetrieveResponse:
    """Passages that the caller may read, best first."""

    passages: list[PassageResponse]
    failed: list[FailedCorpus]
