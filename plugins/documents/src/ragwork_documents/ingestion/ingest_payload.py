"""What an ingestion job carries: ids and generations, never content."""

from collections.abc import Mapping, Sequence
from typing import Final

import attrs
import orjson

JOB_KIND: Final = "documents.ingest"


@attrs.frozen(kw_only=True)
class DocumentGeneration:
    """A document at the generation that the job is for."""

    document_id: str
    generation: int


def payload(corpus_id: str, targets: Sequence[DocumentGeneration]) -> Mapping[str, str]:
    """A job's payload for documents of one corpus."""
    pairs = [[target.document_id, target.generation] for target in targets]
    return {"corpus_id": corpus_id, "documents": orjson.dumps(pairs).decode()}


def targets_of(payload: Mapping[str, str]) -> tuple[str, Sequence[DocumentGeneration]]:
    """The corpus and the documents that a payload names."""
    pairs = orjson.loads(payload["documents"])
    return payload["corpus_id"], [DocumentGeneration(document_id=d, generation=g) for d, g in pairs]
