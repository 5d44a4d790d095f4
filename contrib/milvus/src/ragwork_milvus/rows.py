"""How a chunk stands in Milvus: who may find it, and which chunk of the local index it is. No text."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias

import attrs
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.retrieval import Chunk, Indexed

from ragwork_milvus import tokens

Row: TypeAlias = Mapping[str, object]

#: Elements that an array field of Milvus can hold.
MAX_FACTS: Final = 4096
#: Rows per call: with the longest arrays and vectors still below the 64 MB that a message may have.
BATCH: Final = 200


@attrs.frozen
class Place:
    """A document of a tenant, as filters name it."""

    tenant: str
    document: str

    @classmethod
    def of(cls, tenant_id: str, document_id: str) -> "Place":
        return cls(tenant=tenant_of(tenant_id), document=tokens.token("document", tenant_id, document_id))

    @property
    def expression(self) -> str:
        """All rows of the document; naming the tenant keeps the search to one partition."""
        return f'tenant == "{self.tenant}" and document == "{self.document}"'


@attrs.frozen(kw_only=True)
class Batch:
    """Rows of chunks ``first`` to ``last`` (inclusive, by ordinal) of one state of one revision."""

    place: Place
    revision: int
    state: str
    first: int
    last: int
    rows: Sequence[Row]

    @property
    def expression(self) -> str:
        """What of this batch is in Milvus already."""
        return (
            f'{self.place.expression} and revision == {self.revision} and state == "{self.state}"'
            f" and ordinal >= {self.first} and ordinal <= {self.last}"
        )


def tenant_of(tenant_id: str) -> str:
    return tokens.token("tenant", tenant_id)


def corpus_of(corpus_id: str) -> str:
    return tokens.token("corpus", corpus_id)


def embedder_of(name: str) -> str:
    return tokens.token("embedder", name)


def batches(place: Place, indexed: Indexed) -> Iterator[Batch]:
    """The document's rows, ``BATCH`` at a time. Raises ``ProviderError`` for one that Milvus can't hold."""
    common = _common(place, indexed)
    chunks = indexed.document.chunks
    for start in range(0, len(chunks), BATCH):
        some = chunks[start : start + BATCH]
        yield Batch(
            place=place,
            revision=indexed.revision,
            state=str(common["state"]),
            first=some[0].ordinal,
            last=some[-1].ordinal,
            rows=[_row(place, common, indexed.revision, chunk) for chunk in some],
        )


def _common(place: Place, indexed: Indexed) -> dict[str, object]:
    document = indexed.document
    facts = sorted(tokens.facts_of(document))
    if len(facts) > MAX_FACTS:
        raise ProviderError(
            "RETRIEVAL_ERROR",
            f"{document.document_id!r} has {len(facts)} readers, labels and metadata values;"
            f" Milvus holds {MAX_FACTS}",
        )
    until = {
        tokens.passing_reader(name): datetime.fromisoformat(end).timestamp()
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
        "state": tokens.token("state", *facts, *(f"{name} {end}" for name, end in until.items())),
    }


def _row(place: Place, common: Mapping[str, object], revision: int, chunk: Chunk) -> Row:
    key = tokens.token("row", place.tenant, place.document, str(revision), str(chunk.ordinal))
    return {**common, "id": key, "ordinal": chunk.ordinal, "vector": chunk.vector}
