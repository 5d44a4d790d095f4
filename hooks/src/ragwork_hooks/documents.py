"""The document catalogue: what corpora and documents there are, and which of them a caller may read."""

from collections.abc import Iterable, Mapping
from typing import Protocol

import attrs

from ragwork_hooks.auth import Principal
from ragwork_hooks.storage import Transaction


@attrs.frozen(kw_only=True)
class Corpus:
    """A corpus and its binding. ``options`` is its ``retrieval`` section without ``provider``,
    ``top_k_default``, ``embedder`` and the other names here.
    """

    id: str
    tenant_id: str
    name: str
    retriever: str
    embedder: str
    top_k_default: int
    options: Mapping[str, object]
    fallback: tuple[str, ...] = ()
    shadow: str | None = None
    shadow_options: Mapping[str, object] = attrs.field(factory=dict)


class DocumentCatalog(Protocol):
    """Capability of the plugin that keeps documents."""

    async def corpus(self, tenant_id: str, corpus_id: str) -> Corpus | None:
        """From a cache that any change reaches within 1 s."""

    async def readable(
        self, tx: Transaction, principal: Principal, document_ids: Iterable[str]
    ) -> frozenset[str]:
        """Those of ``document_ids`` that exist and that ``principal`` may read now. One round trip."""
