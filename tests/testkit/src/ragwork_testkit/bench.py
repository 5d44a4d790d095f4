"""What the contract of a retriever works with: an embedder of words, and a database with an index and a retriever."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import attrs
from ragwork_hooks.authz import ReadableBy, ReadScope
from ragwork_hooks.retrieval import Chunk, Index, IndexedDocument, Passage, Query, Retriever
from ragwork_hooks.storage import Database

from ragwork_testkit.watched import watched

TENANT: Final = "t1"
ANN: Final = ReadableBy(frozenset({"user:ann"}))


class WordEmbedder:
    """Texts with common words get near vectors. Deterministic, unit length, ``dimension`` numbers."""

    name = "words"
    languages = None
    unrelated_cosine = 0.0

    def __init__(self, dimension: int = 256) -> None:
        self.dimension = dimension

    async def embed(
        self, texts: Sequence[str], purpose: Literal["query", "document"]
    ) -> Sequence[Sequence[float]]:
        return [self.vector(text) for text in texts]

    def vector(self, text: str) -> list[float]:
        """The vector of one text."""
        sums = [1e-3] * self.dimension
        for word in re.findall(r"\w+", text.lower()):
            sums[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % self.dimension] += 1.0
        length = math.sqrt(sum(x * x for x in sums))
        return [x / length for x in sums]

    async def aclose(self) -> None:
        return None


@attrs.frozen(kw_only=True)
class Bench:
    """What a contract works with: a database, and the retriever and index over it."""

    database: Database
    index: Index
    retriever: Retriever
    embedder: WordEmbedder = attrs.field(factory=WordEmbedder)

    def document(
        self,
        document_id: str,
        *texts: str,
        corpus_id: str = "c",
        version: int = 1,
        owner: str = "owner",
        metadata: Mapping[str, object] | None = None,
        labels: Mapping[str, str] | None = None,
        readers: Mapping[str, str | None] | None = None,
    ) -> IndexedDocument:
        """A document of one chunk per text; readable by ann unless ``readers`` says otherwise."""
        chunks = [self.chunk(document_id, n, text) for n, text in enumerate(texts)]
        return IndexedDocument(
            document_id=document_id,
            corpus_id=corpus_id,
            version=version,
            source=f"{document_id}.txt",
            embedder=self.embedder.name,
            chunks=chunks,
            owner=owner,
            metadata=metadata or {},
            labels=labels or {},
            readers={"user:ann": None} if readers is None else readers,
        )

    def chunk(self, document_id: str, ordinal: int, text: str) -> Chunk:
        return Chunk(
            id=f"{document_id}-{ordinal}",
            ordinal=ordinal,
            text=text,
            start=ordinal * 1000,
            end=ordinal * 1000 + len(text),
            digest=hashlib.sha256(text.encode()).hexdigest(),
            vector=self.embedder.vector(text),
        )

    async def add(self, *documents: IndexedDocument, tenant: str = TENANT) -> None:
        async with self.database.tenant(tenant) as tx:
            for document in documents:
                await self.index.replace(tx, document)

    async def find(
        self,
        text: str,
        scope: ReadScope = ANN,
        *,
        tenant: str = TENANT,
        top_k: int = 10,
        corpus_id: str = "c",
        filter: Mapping[str, object] | None = None,
        distinct: Literal["document"] | None = None,
    ) -> Sequence[Passage]:
        query = Query(
            corpus_id=corpus_id,
            text=text,
            top_k=top_k,
            embedder=self.embedder.name,
            filter=filter or {},
            distinct=distinct,
            scope=scope,
        )
        prepared = watched(await watched(self.retriever).prepare(tenant, query))
        async with self.database.tenant(tenant, "read") as tx:
            return await prepared.passages(tx, scope)

    async def found(self, text: str, scope: ReadScope = ANN, **more: object) -> set[str]:
        return {p.document_id for p in await self.find(text, scope, **more)}  # type: ignore[arg-type]
