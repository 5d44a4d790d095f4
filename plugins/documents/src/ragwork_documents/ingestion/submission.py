"""A document to ingest, and what became of it."""

import hashlib
from collections.abc import Mapping
from enum import Enum
from uuid import uuid4

import attrs
import orjson
from ragwork_hooks.errors import Problem


class Overwrite(Enum):
    """What happens to a document that exists already: it stays, and other content is refused; it is replaced
    whenever it is settled; it is replaced when content differs or ingestion had failed; or the same for documents of
    the submission's own origin alone.
    """

    NEVER = "never"
    ALWAYS = "always"
    CHANGED = "changed"
    OWN = "own"


@attrs.frozen(kw_only=True)
class Submission:
    """A document to ingest, checked. ``metadata`` and ``labels`` are what passages carry and rules read;
    ``chosen`` names what beside the text the request itself says.
    """

    document_id: str
    #: A text in UTF-8, or a file of the type ``content_type``.
    source: bytes
    filename: str
    content_type: str
    ingest_source: str
    chunk_size: int
    chunk_overlap: int
    metadata: Mapping[str, object] = attrs.field(factory=dict)
    labels: Mapping[str, str] = attrs.field(factory=dict)
    chosen: frozenset[str] = frozenset()
    #: The source is a file that a parser reads, and no text yet.
    is_parsed: bool = False
    #: The folder or store that the document is kept in step with.
    origin: str | None = None
    fingerprint: str = attrs.field(init=False)
    blob_key: str = attrs.field(init=False, factory=lambda: f"documents/{uuid4().hex}")

    @fingerprint.default
    def _fingerprint(self) -> str:
        # All that decides what is indexed: the same again is the same document.
        rest = [self.filename, self.content_type, self.chunk_size, self.chunk_overlap, self.metadata]
        digest = hashlib.sha256(orjson.dumps(rest, option=orjson.OPT_SORT_KEYS))
        digest.update(self.source)
        return digest.hexdigest()

    @property
    def content_digest(self) -> str:
        """Of the source alone: two documents of the same content have the same."""
        return hashlib.sha256(self.source).hexdigest()


@attrs.frozen(kw_only=True)
class SubmissionResult:
    """What became of a submission: ``fresh`` when it was taken, else how the document stands.

    ``problem_of`` says why nothing was accepted.
    """

    document_id: str
    status: str
    job_id: str | None
    fresh: bool = False
    refusal: Problem | None = None


@attrs.define(kw_only=True)
class Batch:
    """Documents that are accepted in one transaction and ingested by one job, and lines about those beside them that
    were ``skipped`` or could not be read.
    """

    submissions: list[Submission] = attrs.field(factory=list)
    failures: list[str] = attrs.field(factory=list)
    skipped: list[str] = attrs.field(factory=list)
