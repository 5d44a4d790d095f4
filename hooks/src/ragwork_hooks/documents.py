"""The document catalogue: what corpora and documents there are, and which of them a caller may read."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol

import attrs

from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import ReadScope
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.llm import GenerationSettings
from ragwork_hooks.retrieval import Passage, Query, Reranking
from ragwork_hooks.storage import Transaction


@attrs.frozen(kw_only=True)
class Corpus:
    """A corpus and its binding. ``options`` is its ``retrieval`` section without ``provider``,
    ``top_k_default``, ``embedder`` and the other names here, ``generation`` its section of that name.
    """

    id: str
    tenant_id: str
    name: str
    retriever: str
    embedder: str
    top_k_default: int
    options: Mapping[str, object]
    #: The least ``min_score`` of a question to it.
    min_score: float = 0.0
    fallback: tuple[str, ...] = ()
    shadow: str | None = None
    shadow_options: Mapping[str, object] = attrs.field(factory=dict)
    generation: GenerationSettings | None = None
    reranking: Reranking | None = None

    def query(self, text: str, top_k: int, scope: ReadScope, min_score: float | None = None) -> Query:
        """``text`` as it is asked of this corpus; ``min_score`` is the corpus' own where it is ``None``."""
        return Query(
            corpus_id=self.id,
            text=text,
            top_k=top_k,
            embedder=self.embedder,
            min_score=self.min_score if min_score is None else min_score,
            options=self.options,
            reranking=self.reranking,
            fallback=self.fallback,
            shadow=self.shadow,
            shadow_options=self.shadow_options,
            scope=scope,
        )


@attrs.frozen(kw_only=True)
class Ingestion:
    """Documents of one tenant by what became of their ingestion since a time.

    ``by_status`` counts queued, processing, succeeded and failed; ``durations_ms`` has p50, p95 and max of
    finished ones, empty without any; ``failures`` are the commonest reasons with their counts.
    """

    by_status: Mapping[str, int]
    durations_ms: Mapping[str, float]
    failures: Sequence[tuple[str, int]]


class DocumentCatalog(Protocol):
    """Capability of the plugin that keeps documents."""

    async def corpus(self, tenant_id: str, corpus_id: str) -> Corpus | None:
        """From a cache that any change reaches within 1 s."""

    async def readable(
        self, tx: Transaction, principal: Principal, document_ids: Iterable[str]
    ) -> frozenset[str]:
        """Those of ``document_ids`` that exist and that ``principal`` may read now. One round trip."""

    async def ingestion(self, tx: Transaction, since: datetime) -> Ingestion:
        """How ingestion went since then. One round trip."""


@attrs.frozen(kw_only=True)
class CorpusPassage:
    """A passage and the corpus that it came from."""

    corpus_id: str
    passage: Passage


@attrs.frozen(kw_only=True)
class SearchAnswers:
    """What the asked corpora gave: (corpus id, passages best first) and (corpus id, error). ``not_reranked`` are those
    whose reranker did not score all that it should have, and why.
    """

    found: Sequence[tuple[str, Sequence[Passage]]]
    failed: Sequence[tuple[str, ProviderError]]
    not_reranked: Sequence[tuple[str, ProviderError]] = ()


class PreparedSearch(Protocol):
    """A question to several corpora whose slow part is over."""

    async def read(self, tx: Transaction, scope: ReadScope) -> SearchAnswers:
        """What each corpus has within ``scope``, in the order asked. Raises the first ``ProviderError`` when
        no corpus can answer. One round trip per local corpus. A corpus with a reranker may have more passages than
        were asked for, for it to choose from.
        """

    async def rerank(self, answers: SearchAnswers) -> SearchAnswers:
        """What ``read`` gave, each corpus' passages in the order of its reranker within its budget of time, and as
        many as were asked for. Outside any transaction. Never fails: where a reranker does, the order stands.
        """


class CorpusSearch(Protocol):
    """Capability: one question to one corpus or several, of any providers. A corpus whose provider fails does
    not take the others along.
    """

    async def prepare(self, tenant_id: str, asked: Sequence[tuple[str, Query]]) -> PreparedSearch:
        """Ask all (provider, query) at once; outside any transaction. Raises the first ``ProviderError`` when
        none can answer.
        """

    async def rank(
        self, question: str, answers: SearchAnswers, top_k: int, *, distinct: bool = False
    ) -> Sequence[CorpusPassage]:
        """The best ``top_k`` of all, best first, without duplicates, also by document when ``distinct``. Scores
        become 0.0 to 1.0 over all corpora; an engine's own can't be compared with another's.
        """


@attrs.frozen(kw_only=True)
class IncomingFile:
    """A file that is to be a document."""

    document_id: str
    filename: str
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")


@attrs.frozen(kw_only=True)
class IntakeResult:
    """What became of a file: its document is ``indexed``, or was ``unchanged``; it is no document and was ``skipped``;
    or it has ``failed``. ``reason`` says why, for the last two.
    """

    document_id: str
    outcome: Literal["indexed", "unchanged", "skipped", "failed"]
    reason: str = ""


class OriginDocuments(Protocol):
    """The documents of one corpus that one origin keeps in step. Those of others are never touched."""

    @property
    def max_bytes(self) -> int:
        """The largest file that is taken."""

    async def prepare(self) -> bool:
        """Make tenant and corpus where they are new; whether the corpus was. Raises ``Problem``."""

    async def statuses(self, tx: Transaction, document_ids: Sequence[str] | None = None) -> Mapping[str, str]:
        """Document id → status, of all or of ``document_ids``. One round trip."""

    async def put(self, files: Sequence[IncomingFile]) -> Sequence[IntakeResult]:
        """Take ``files`` (distinct ids) in and wait until each is settled; a result for each, in order. May be
        repeated.
        """

    async def remove(self, tx: Transaction, document_ids: Sequence[str]) -> int:
        """Delete those of ``document_ids`` that are the origin's, with every copy; how many they were."""


class DocumentIntake(Protocol):
    """Capability: documents kept in step with files elsewhere."""

    def document_id(self, name: str, prefix: str) -> str:
        """The id of the file at the path ``name``, as ``ragwork ingest PATH`` gives it. Raises ``ValueError`` for a
        prefix that can't begin an id.
        """

    def of(
        self,
        tenant_id: str,
        corpus_id: str,
        origin: str,
        *,
        readers: Sequence[str],
        record: Callable[[Transaction, AuditDetails], Awaitable[None]],
    ) -> OriginDocuments:
        """``origin`` names who keeps the documents in step. ``readers`` may read new ones beside the corpus' default
        readers; ``record`` writes what happens to each into the audit log.
        """
