"""The provider ``milvus``: Milvus ranks, the local index turns its hits into passages under the caller's rights."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import attrs
from ragwork_hooks.authz import ReadScope
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.provider_kinds import EMBEDDING
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.retrieval import Embedder, IndexHit, Passage, PassageSource, Query, Retriever
from ragwork_hooks.services import Clock
from ragwork_hooks.storage import Transaction

from ragwork_milvus.client import address
from ragwork_milvus.config import MilvusConfig
from ragwork_milvus.engine import Engine
from ragwork_milvus.expression import condition
from ragwork_milvus.rows import corpus_of, embedder_of, tenant_of

#: Hits asked for beyond ``top_k``: what was replaced, deleted or withdrawn a moment ago falls out of them.
SPARE: Final = 50


@attrs.frozen(kw_only=True)
class Ranked:
    """What Milvus found."""

    source: PassageSource
    hits: Sequence[IndexHit]
    top_k: int
    by_document: bool

    async def passages(self, tx: Transaction, scope: ReadScope) -> Sequence[Passage]:
        """At most ``top_k`` of the hits, as they stand now within ``scope``. One round trip."""
        if not self.hits:
            return []
        passages = await self.source.passages(tx, scope, self.hits)
        if self.by_document:
            # A document that was replaced a moment ago may have hits of two revisions.
            first = {passage.document_id: passage for passage in reversed(passages)}
            passages = [passage for passage in passages if first[passage.document_id] is passage]
        return passages[: self.top_k]


@attrs.frozen(kw_only=True)
class MilvusRetriever:
    """Retrieval by nearest vectors over the mirror in Milvus."""

    embedder: Callable[[str], Awaitable[Embedder]]
    engine: Engine
    source: PassageSource
    clock: Clock

    @property
    def transactional(self) -> bool:
        """The mirror follows the index by durable events."""
        return False

    async def prepare(self, tenant_id: str, query: Query) -> Ranked:
        """Embed the question and ask Milvus. Raises ``ProviderError``."""
        by_document = query.distinct == "document"
        hits: Sequence[IndexHit] = ()
        allowed = condition(query.scope, query.filter, self.clock.now().timestamp())
        if allowed is not False:
            embedder = await self.embedder(query.embedder)
            (vector,) = await embedder.embed([query.text], "query")
            expression = (
                f'tenant == "{tenant_of(tenant_id)}" and corpus == "{corpus_of(query.corpus_id)}"'
                f' and embedder == "{embedder_of(query.embedder)}"'
            )
            if isinstance(allowed, str):
                expression = f"{expression} and ({allowed})"
            hits = await self.engine.nearest(vector, expression, query.top_k + SPARE, by_document=by_document)
        return Ranked(source=self.source, hits=hits, top_k=query.top_k, by_document=by_document)


async def _open(context: ProviderContext[Any]) -> Retriever:
    services = context.services
    return MilvusRetriever(
        embedder=partial(services.providers.open, EMBEDDING),
        engine=services.use(Engine),
        source=services.use(PassageSource),
        clock=services.clock,
    )


def _ready(config: MilvusConfig) -> str | None:
    try:
        address(config.uri)
    except ConfigError as error:
        return f"needs {error.where}, which {error.message}: {error.fix}"
    return None


provider: Provider[Retriever] = Provider(name="milvus", open=_open, ready=_ready)
