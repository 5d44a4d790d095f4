"""Finding passages: queries, passages, retrievers, indexes and embedders."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

import attrs

from ragwork_hooks.authz import Everything, ReadScope
from ragwork_hooks.storage import Transaction

#: Durable event of an ``Index`` that changed; key and payload ``{"document_id": …}``.
INDEX_CHANGED: Final = "index.changed"


@attrs.frozen(kw_only=True)
class Reranking:
    """How the passages of a corpus are ranked a second time, by a provider of kind ``reranker``."""

    #: The provider.
    reranker: str
    #: How many of the first ranking it is given at most.
    top_n: int
    #: How long a question may wait for it, in milliseconds.
    budget_ms: int


@attrs.frozen(kw_only=True)
class Query:
    """One question to one corpus."""

    #: Whose documents are asked.
    corpus_id: str
    #: The question.
    text: str
    #: How many passages at most, 1 to 50.
    top_k: int
    #: The corpus' embedding provider.
    embedder: str
    #: Metadata keys → the value, or a list of values, that a passage's document must have.
    filter: Mapping[str, object] = attrs.field(factory=dict)
    #: Leave out passages below this ``relevance``.
    min_score: float = 0.0
    #: Keep the best passage of each document.
    distinct: Literal["document"] | None = None
    #: The corpus' own ``retrieval`` section, validated by the provider's options class.
    options: Mapping[str, object] = attrs.field(factory=dict)
    #: Retrieval providers to ask when the corpus' own can't answer.
    fallback: tuple[str, ...] = ()
    #: A retriever that is asked the same in the background, for comparison only.
    shadow: str | None = None
    #: The options of the shadow.
    shadow_options: Mapping[str, object] = attrs.field(factory=dict)
    #: What is done with the passages afterwards; no business of the retriever.
    reranking: Reranking | None = None
    #: What the caller may read as known when the query is prepared: a remote engine narrows its search by it.
    #: It is a hint; the scope given to ``passages`` judges.
    scope: ReadScope = attrs.field(factory=Everything)


@attrs.frozen(kw_only=True)
class Passage:
    """A retrieved chunk. ``score`` is 0.0 to 1.0, larger is better; ``start``/``end`` are character
    offsets of ``text`` in the document's version ``version``, without what is repeated in front of it (a table's
    header); ``source`` is what a person would call it.
    """

    document_id: str
    chunk_id: str
    text: str
    score: float
    source: str
    version: int = 1
    start: int = 0
    end: int = 0
    #: The document's (ISO 639-1), "" where nobody could tell.
    language: str = ""
    #: How well it fits the question whatever else there is, 0.0 to 1.0, where the retriever can tell. ``min_score`` is
    #: held against it, or against ``score`` where it is missing.
    relevance: float | None = None
    #: Its parts on scales of their own: ``lexical`` is the share of what the question's words could give, 0.0 to 1.0;
    #: ``semantic`` the cosine of the vectors.
    lexical: float | None = None
    semantic: float | None = None
    #: What the corpus' reranker gave it, 0.0 to 1.0. It orders passages; ``score`` stays the retriever's.
    rerank: float | None = None
    metadata: Mapping[str, object] = attrs.field(factory=dict)

    @property
    def repeated(self) -> int:
        """How many characters at the beginning of ``text`` stand elsewhere in the document."""
        return max(0, len(self.text) - (self.end - self.start)) if self.end else 0


class PreparedQuery(Protocol):
    """A query whose slow part (embedding, remote call) is over and whose database part is not."""

    async def passages(self, tx: Transaction, scope: ReadScope) -> Sequence[Passage]:
        """At most ``top_k`` passages within ``scope``, best first. One round trip for a local index."""


class Retriever(Protocol):
    """Provider of kind ``retrieval``.

    Two steps, so that no provider call happens inside a transaction: ``prepare`` embeds or calls out,
    the prepared query then reads under the caller's scope in the caller's transaction.
    """

    @property
    def transactional(self) -> bool:
        """True when its index changes in the caller's transaction, so no re-check is needed."""

    async def prepare(self, tenant_id: str, query: Query) -> PreparedQuery:
        """Raises ``ProviderError`` with a contract code."""


@attrs.frozen(kw_only=True)
class Chunk:
    """A piece of a document as the index keeps it: the characters ``start`` to ``end``, below what is repeated in
    front of them. ``vector`` is ``None`` when the index already has
    the vector for ``digest`` (content hash, hex sha256) from the document's earlier version. ``metadata`` is the
    chunk's own, beside the document's: where in a file it stands.
    """

    id: str
    ordinal: int
    text: str
    start: int
    end: int
    digest: str
    vector: Sequence[float] | None
    metadata: Mapping[str, object] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class IndexedDocument:
    """A document with all its chunks, replacing what the index had of it.

    ``readers`` maps ``type:id`` texts to an expiry (ISO 8601 with offset) or ``None``.
    """

    document_id: str
    corpus_id: str
    version: int
    source: str
    owner: str
    embedder: str
    chunks: Sequence[Chunk]
    #: What it is written in (ISO 639-1), "" where nobody could tell.
    language: str = ""
    metadata: Mapping[str, object] = attrs.field(factory=dict)
    labels: Mapping[str, str] = attrs.field(factory=dict)
    readers: Mapping[str, str | None] = attrs.field(factory=dict)


class Index(Protocol):
    """Capability: the local index that documents feed. Every call acts inside the caller's transaction."""

    async def known(self, tx: Transaction, document_id: str, embedder: str) -> frozenset[str]:
        """Digests of the document's chunks that have a vector of ``embedder``: no need to embed again."""

    async def replace(self, tx: Transaction, document: IndexedDocument) -> None:
        """Swap in the new version atomically. Raises ``ProviderError`` EMBEDDING_DIMENSION_MISMATCH."""

    async def set_readers(self, tx: Transaction, document_id: str, readers: Mapping[str, str | None]) -> None:
        """Replace who may read; vectors are not touched."""

    async def delete(self, tx: Transaction, document_ids: Sequence[str]) -> None: ...

    async def chunks(self, tx: Transaction, document_id: str, start: int, limit: int) -> Sequence[Chunk]:
        """At most ``limit`` chunks in order from ordinal ``start``, without vectors. One round trip."""


@attrs.frozen(kw_only=True)
class IndexSnapshot:
    """A document as the index keeps it: every chunk has its vector. ``revision`` grows with each replacement
    of any document (also over deletion and re-creation); a change of readers leaves it.
    """

    revision: int
    document: IndexedDocument


@attrs.frozen(kw_only=True)
class IndexHit:
    """A chunk that a mirror of the index found: chunk ``ordinal`` of ``revision``; ``score`` 0.0 to 1.0."""

    revision: int
    ordinal: int
    score: float


class PassageSource(Protocol):
    """Capability: what the local index keeps, for plugins that mirror it into an engine of their own.

    A mirror is told of changes by the durable event ``INDEX_CHANGED`` and reads the state from here, so that
    no retry or reordering can bring an older version back.
    """

    async def document(self, tx: Transaction, document_id: str) -> IndexSnapshot | None:
        """The document with its vectors and unexpired readers, ``None`` when the index has none. One round trip."""

    async def document_ids(self, tx: Transaction, after: str, limit: int) -> Sequence[str]:
        """The next ``limit`` ids of the tenant in order, greater than ``after`` (``""`` to start)."""

    async def passages(
        self, tx: Transaction, scope: ReadScope, hits: Sequence[IndexHit]
    ) -> Sequence[Passage]:
        """The passages of those hits that still exist within ``scope``, in the order of ``hits``. One round trip."""


class Embedder(Protocol):
    """Provider of kind ``embedding``: text to unit vectors, off the event loop."""

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def languages(self) -> frozenset[str] | None:
        """The languages (ISO 639-1) that its vectors tell apart; ``None`` for many. Elsewhere words count more."""

    @property
    def unrelated_cosine(self) -> float:
        """The cosine that a text easily has with a question it has nothing to do with: where nearness begins."""

    async def embed(
        self, texts: Sequence[str], purpose: Literal["query", "document"]
    ) -> Sequence[Sequence[float]]:
        """One L2-normalised vector of ``dimension`` floats per text, in order; ``[]`` for ``[]``.

        Queries overtake document batches. Raises ``ProviderError``.
        """

    async def aclose(self) -> None: ...
