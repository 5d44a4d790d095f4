"""How a chunk stands in Milvus: who may find it, and which chunk of the local index it is. No text."""

from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias

import attrs
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.retrieval import Chunk, IndexSnapshot

from ragwork_milvus import filter_tokens

Row: TypeAlias = Mapping[str, object]

#: Elements that an array field of Milvus can hold.
MAX_FACTS: Final = 4096
#: Rows asked for at once; an answer of Milvus has 16,384 at most.
WINDOW: Final = 10_000
#: Rows sent per call: with the longest arrays and vectors still below the 64 MB that a message may have.
BATCH: Final = 200


@attrs.frozen
class DocumentKey:
    """A document of a tenant, as filters name it."""

    tenant: str
    document: str

    @classmethod
    def of(cls, tenant_id: str, document_id: str) -> "DocumentKey":
        return cls(
            tenant=tenant_of(tenant_id), document=filter_tokens.token("document", tenant_id, document_id)
        )

    @property
    def expression(self) -> str:
        """All rows of the document; naming the tenant keeps the search to one partition."""
        return f'tenant == "{self.tenant}" and document == "{self.document}"'


@attrs.frozen(kw_only=True)
class RowBatch:
    """Up to ``WINDOW`` chunks of one state of one revision. ``common`` is what their rows share."""

    place: DocumentKey
    common: Row
    chunks: Sequence[Chunk]

    @property
    def expression(self) -> str:
        """What of this sheet is in Milvus already."""
        return (
            f"{self.place.expression} and revision == {self.common['revision']}"
            f' and state == "{self.common["state"]}"'
            f" and ordinal >= {self.chunks[0].ordinal} and ordinal <= {self.chunks[-1].ordinal}"
        )

    def batches(self, there: Container[int]) -> Iterator[Sequence[Row]]:
        """The rows whose ordinals are not ``there``, ``BATCH`` at a time."""
        missing = [chunk for chunk in self.chunks if chunk.ordinal not in there]
        for start in range(0, len(missing), BATCH):
            yield [self._row(chunk) for chunk in missing[start : start + BATCH]]

    def _row(self, chunk: Chunk) -> Row:
        place, revision = self.place, str(self.common["revision"])
        key = filter_tokens.token("row", place.tenant, place.document, revision, str(chunk.ordinal))
        return {**self.common, "id": key, "ordinal": chunk.ordinal, "vector": chunk.vector}


def tenant_of(tenant_id: str) -> str:
    return filter_tokens.token("tenant", tenant_id)


def corpus_of(corpus_id: str) -> str:
    return filter_tokens.token("corpus", corpus_id)


def embedder_of(name: str) -> str:
    return filter_tokens.token("embedder", name)


def sheets(place: DocumentKey, indexed: IndexSnapshot) -> Sequence[RowBatch]:
    """The document in order. Raises ``ProviderError`` for one that Milvus can't hold."""
    common, chunks = _common(place, indexed), indexed.document.chunks
    return [
        RowBatch(place=place, common=common, chunks=chunks[start : start + WINDOW])
        for start in range(0, len(chunks), WINDOW)
    ]


def _common(place: DocumentKey, indexed: IndexSnapshot) -> Row:
    document = indexed.document
    facts = sorted(filter_tokens.facts_of(document))
    if len(facts) > MAX_FACTS:
        raise ProviderError(
            "RETRIEVAL_ERROR",
            f"{document.document_id!r} has {len(facts)} readers, labels and metadata values;"
            f" Milvus holds {MAX_FACTS}",
        )
    until = {
        filter_tokens.passing_reader(name): datetime.fromisoformat(end).timestamp()
        for name, end in sorted(document.readers.items())
        if end is not None
    }
    return {
        "tenant": place.tenant,
        "document": place.document,
        "corpus": corpus_of(document.corpus_id),
        "embedder": embedder_of(document.embedder),
        "revision": indexed.revision,
        "facts": facts,
        "until": until,
        "state": filter_tokens.token("state", *facts, *(f"{name} {end}" for name, end in until.items())),
    }
