"""Bodies, queries and answers of the routes, as the wire contract names them."""

from datetime import datetime

import attrs
from ragwork_hooks import fields
from ragwork_hooks.fields import FieldError, choice, identifier, number
from ragwork_hooks.http import Upload
from ragwork_toolkit.paging import PageQuery

from ragwork_documents.config import LARGEST_BODY
from ragwork_documents.ingestion.chunker import MIN_SIZE

MAX_CHUNK_SIZE = 20_000
MAX_LIST = 1_000
MAX_BULK_GRANTS = 200
MAX_CORPORA = 8
MAX_QUESTION = 20_000
#: A system prompt of the longest, in characters of four bytes, and as much as any JSON beside it.
MAX_CONFIG_BYTES = 49_152

PRINCIPAL_TYPES = ("user", "api_key", "group", "role", "tenant")


def _aware(_instance: object, _attribute: object, value: datetime | None) -> None:
    if value is not None and value.utcoffset() is None:
        raise FieldError("timezone_aware", "must carry an offset such as +00:00")


@attrs.frozen(kw_only=True)
class ListQuery(PageQuery):
    """Bounds of a list."""

    #: How many entries at most.
    limit: int = number(default=MAX_LIST, ge=1, le=MAX_LIST)
    #: How many entries to skip.
    offset: int = number(default=0, ge=0, le=10_000_000)


@attrs.frozen(kw_only=True)
class DocumentListQuery(ListQuery):
    """Bounds of a list of documents, of one corpus if named."""

    #: Only documents of this corpus. Example: "c1"
    corpus_id: str | None = fields.text(default=None, max_length=128)


@attrs.frozen(kw_only=True)
class CorpusCreateRequest:
    """A new corpus."""

    #: Yours to choose, unique in the tenant. Example: "handbook"
    id: str = identifier()
    #: What people call it. Example: "Employee handbook"
    name: str = fields.text(min_length=1, max_length=200, visible=True)
    #: How it retrieves, and how answers are written from it; `{}` for the server's own index and model. Example:
    #: {"retrieval": {"provider": "local_pgvector", "top_k_default": 5}}
    provider_config_json: dict[str, object] = fields.free_json(
        default=attrs.Factory(dict), max_bytes=MAX_CONFIG_BYTES
    )


@attrs.frozen(kw_only=True)
class CorpusPatchRequest:
    """What to change of a corpus; what is absent or null stays. The configuration is the owner's and
    administrators' to change, the ``owner`` (a user's id) an administrator's.
    """

    #: What people call it. Example: "Employee handbook"
    name: str | None = fields.text(default=None, min_length=1, max_length=200, visible=True)
    #: Replaces the whole configuration. Another embedder indexes every document anew. Example:
    #: {"retrieval": {"provider": "local_pgvector", "top_k_default": 8}}
    provider_config_json: dict[str, object] | None = fields.free_json(
        default=None, max_bytes=MAX_CONFIG_BYTES
    )
    #: Another owner: a user's id.
    owner: str | None = fields.text(default=None, min_length=1, max_length=128)


@attrs.frozen(kw_only=True)
class CorpusResponse:
    """A corpus. Without an ``owner`` it is configured by administrators only."""

    #: What its maker called it for programs. Example: "handbook"
    id: str
    #: The tenant. Example: "t1"
    tenant_id: str
    #: What people call it. Example: "Employee handbook"
    name: str
    #: Who may change it, beside administrators; null for administrators only. Example: "grace"
    owner: str | None
    #: How it retrieves. Example: {"retrieval": {"provider": "local_pgvector", "top_k_default": 5}}
    provider_config_json: dict[str, object]
    #: When it was made.
    created_at: datetime


@attrs.frozen(kw_only=True)
class UploadForm:
    """A file to ingest."""

    #: The corpus. Example: "c1"
    corpus_id: str = fields.text(min_length=1, max_length=128)
    #: The file, of any type that a parser takes: text, Markdown, PDF, Word, Excel, HTML …; JSON with a field `text`.
    file: Upload
    #: Yours to choose, unique in the tenant; made by the server if absent. Example: "leave"
    document_id: str | None = identifier(default=None)
    #: Whether to replace a finished document of this id.
    overwrite: bool = False


@attrs.frozen(kw_only=True)
class TextIngestRequest:
    """A text to ingest, with something to see in it. Chunks overlap by half their size at most."""

    #: The corpus. Example: "c1"
    corpus_id: str = fields.text(min_length=1, max_length=128)
    #: What to index. Example: "Every employee has 30 days of paid leave a year."
    text: str = fields.text(max_length=LARGEST_BODY)
    #: Yours to choose, unique in the tenant; made by the server if absent. Example: "leave"
    document_id: str | None = identifier(default=None)
    #: What citations call it. Example: "leave.md"
    filename: str | None = fields.text(default=None, max_length=255)
    #: Facts to filter by; `labels` in it are what policies read. Example: {"labels": {"sensitivity":
    #: "low"}}
    metadata_json: dict[str, object] | None = None
    #: Characters in a passage; null for the server's. Example: 1200
    chunk_size_chars: int | None = number(default=None, ge=MIN_SIZE, le=MAX_CHUNK_SIZE)
    #: Characters that neighbours share; null for the server's. Example: 150
    chunk_overlap_chars: int | None = number(default=None, ge=0, le=MAX_CHUNK_SIZE // 2)
    #: Whether to replace a finished document of this id. Example: false
    overwrite: bool = False


@attrs.frozen(kw_only=True)
class ReindexRequest:
    """How to cut the document anew; what is absent stays as it was, the overlap within half the size."""

    #: Characters in a passage; null for the server's. Example: 1200
    chunk_size_chars: int | None = number(default=None, ge=MIN_SIZE, le=MAX_CHUNK_SIZE)
    #: Characters that neighbours share; null for the server's. Example: 150
    chunk_overlap_chars: int | None = number(default=None, ge=0, le=MAX_CHUNK_SIZE // 2)


@attrs.frozen(kw_only=True)
class DocumentAccepted:
    """Where an accepted document stands, and where to ask again."""

    #: The document. Example: "leave"
    document_id: str
    #: `queued`, `processing`, `succeeded` or `failed`. Example: "queued"
    status: str
    #: The job that ingests it; null if none is under way. Example: "4711"
    job_id: str | None
    #: Where to ask how it goes. Example: "/v1/documents/leave"
    status_url: str


@attrs.frozen(kw_only=True)
class Progress:
    """How far ingestion is. ``attempt`` counts from 1; ``next_attempt_at`` is set while it waits to retry."""

    #: `queued`, `chunking`, `embedding`, `done` or `failed`. Example: "embedding"
    phase: str
    #: Passages indexed so far. Example: 12
    chunks_done: int
    #: Passages in all; null while nobody knows. Example: 40
    chunks_total: int | None
    #: Which try this is, from 1. Example: 1
    attempt: int
    #: When the next try begins; null unless it waits for one. Example: null
    next_attempt_at: datetime | None


@attrs.frozen(kw_only=True)
class DocumentResponse:
    """A document and its life so far."""

    #: What its uploader or the server called it. Example: "leave"
    id: str
    #: The tenant. Example: "t1"
    tenant_id: str
    #: The corpus. Example: "c1"
    corpus_id: str
    #: What citations call it. Example: "leave.md"
    filename: str
    #: Its media type. Example: "text/markdown"
    content_type: str
    #: Where it came from. Example: "upload"
    source: str
    #: How it came: `upload`, `text` or `attachment`. Example: "upload"
    ingest_source: str
    #: `queued`, `processing`, `succeeded` or `failed`. Example: "succeeded"
    status: str
    #: Why it failed; null if it did not. Example: null
    failure_reason: str | None
    #: When it was taken in.
    created_at: datetime
    #: When it last changed.
    updated_at: datetime
    #: When it was last queued.
    queued_at: datetime | None
    #: When work on it last began.
    processing_started_at: datetime | None
    #: When work on it last ended.
    completed_at: datetime | None
    #: When it was last indexed anew; null if never. Example: null
    last_reindexed_at: datetime | None
    #: The job that last worked on it. Example: "4711"
    last_job_id: str | None
    #: Passages in the index; null before it succeeded. Example: 40
    num_chunks: int | None
    #: What it is written in (ISO 639-1), as detected; "" if nobody could tell, null before it succeeded. Example: "en"
    language: str | None
    #: The document that it was attached to; null for none. Example: null
    parent_id: str | None
    #: The first document of the corpus with the same content, if you may read it; null for none. Example: null
    duplicate_of: str | None
    #: What of its file was left out, in words. Example: []
    warnings: list[str]
    #: How far ingestion is.
    progress: Progress


@attrs.frozen(kw_only=True)
class DocumentPermissionRequest:
    """A grant. A principal of type ``tenant`` is the caller's own tenant. A user or group who does not exist is
    refused, unless ``create`` makes the user (a reader) or the group (without members).
    """

    #: Who gets it: a user, an API key, a group, a role, or the whole tenant.
    principal_type: str = choice(*PRINCIPAL_TYPES)
    #: Which one: an id, a role's name, or the tenant's. Example: "ada"
    principal_id: str = fields.text(min_length=1, max_length=128)
    #: What it allows; each of the later ones allows reading, too.
    permission: str = choice("read", "write", "delete", "reindex", "owner")
    #: When it ends; null for never.
    expires_at: datetime | None = attrs.field(default=None, validator=_aware)
    #: Whether to create the user, as a reader, or the group, without members, that does not exist yet.
    create: bool = False


@attrs.frozen(kw_only=True)
class DocumentPermissionBulkRequest:
    """Several grants, given all or none."""

    #: The grants.
    permissions: list[DocumentPermissionRequest] = fields.items(min_items=1, max_items=MAX_BULK_GRANTS)


@attrs.frozen(kw_only=True)
class DocumentPermissionResponse:
    """A grant on a document."""

    #: The grant. Example: "5b1f3c58-4f5e-4f4a-9a59-0d5c4a0e6f11"
    id: str
    #: The tenant. Example: "t1"
    tenant_id: str
    #: The document. Example: "leave"
    document_id: str
    #: `user`, `api_key`, `group`, `role` or `tenant`. Example: "user"
    principal_type: str
    #: Which one. Example: "ada"
    principal_id: str
    #: `read`, `write`, `delete`, `reindex` or `owner`. Example: "read"
    permission: str
    #: Who gave it. Example: "grace"
    granted_by: str | None
    #: When it ends; null for never. Example: null
    expires_at: datetime | None
    #: When it was given.
    created_at: datetime


@attrs.frozen(kw_only=True)
class DocumentPermissionList:
    """All grants on a document, expired ones included."""

    #: The grants.
    items: list[DocumentPermissionResponse]


@attrs.frozen(kw_only=True)
class DocumentPermissionBulkResponse:
    """The grants as they now stand, in the order asked."""

    #: The grants.
    items: list[DocumentPermissionResponse]


@attrs.frozen(kw_only=True)
class RetrieveRequest:
    """A question to one corpus, or to 2 to 8 at once: exactly one of ``corpus_id`` and ``corpus_ids``.
    ``filter`` maps metadata keys to a value or a list of values.
    """

    #: What to look for. Example: "How many days of leave do I have?"
    query: str = fields.text(min_length=1, max_length=MAX_QUESTION, visible=True)
    #: One corpus to search. Example: "c1"
    corpus_id: str | None = fields.text(default=None, min_length=1, max_length=128)
    #: Several corpora to search at once, instead of `corpus_id`.
    corpus_ids: list[str] | None = fields.items(default=None, max_items=MAX_CORPORA, max_length=128)
    #: Passages at most; absent for the corpus' own number. Example: 5
    top_k: int | None = number(default=None, ge=1, le=50)
    #: Leave out passages with a `relevance` below this; absent for the corpus' own. Example: 0.25
    min_score: float | None = number(default=None, ge=0, le=1)
    #: Metadata that a passage must have: each key's value, or one of a list of values. Example: {"team":
    #: ["hr", "legal"]}
    filter: dict[str, object] | None = None
    #: `document` gives the best passage of each document only.
    distinct: str | None = choice("document", default=None)


@attrs.frozen(kw_only=True)
class PassageResponse:
    """A passage. ``score`` is 0.0 to 1.0, larger is better; over several corpora it tells the order only. Passages that
    a reranker scored stand in the order of ``rerank``, before the others.
    """

    #: The corpus. Example: "c1"
    corpus_id: str
    #: The document. Example: "leave"
    document_id: str
    #: The passage. Example: "leave#0"
    chunk_id: str
    #: What it says. Example: "Every employee has 30 days of paid leave a year."
    text: str
    #: How well it fits beside the others, 0.0 to 1.0. Example: 0.82
    score: float
    #: How well it fits the question whatever else there is, 0.0 to 1.0: texts that have nothing to do with it stay
    #: below 0.25 as a rule; null where nobody says. Example: 0.52
    relevance: float | None
    #: The share of what the question's words could give, 0.0 to 1.0; null where nobody says. Example: 0.41
    lexical: float | None
    #: The cosine of its vector and the question's; null where nobody says. Example: 0.63
    semantic: float | None
    #: How well it answers by the corpus' reranker, 0.0 to 1.0; null where none scored it. It orders the passages of a
    #: corpus and leaves `score` as it is. Example: 0.91
    rerank: float | None
    #: What its document is called. Example: "leave.md"
    source: str
    #: Its document's metadata. Example: {"team": "hr"}
    metadata: dict[str, object]


@attrs.frozen(kw_only=True)
class FailedCorpus:
    """A corpus that could not answer beside others that did; ``code`` is its provider's."""

    #: The corpus. Example: "c2"
    corpus_id: str
    #: Why, as a program reads it. Example: "AWS_AUTH_ERROR"
    code: str


@attrs.frozen(kw_only=True)
class NotReranked:
    """A corpus whose passages are not all reranked, though it has a reranker: the others stand in the first order."""

    #: The corpus. Example: "c1"
    corpus_id: str
    #: Why, as a program reads it: `RERANKER_TIMEOUT` when its budget of time was spent. Example: "RERANKER_TIMEOUT"
    code: str


@attrs.frozen(kw_only=True)
class RetrieveResponse:
    """Passages that the caller may read, best first."""

    #: The passages.
    passages: list[PassageResponse]
    #: Corpora that could not be asked.
    failed: list[FailedCorpus]
    #: Corpora whose reranker failed, or did not get through within its budget of time.
    not_reranked: list[NotReranked]
