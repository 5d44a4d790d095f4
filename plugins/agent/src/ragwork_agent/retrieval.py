"""The retrieval of one run: prepared outside the transaction, read inside it under the caller's rights."""

from collections.abc import Sequence

import attrs
from ragwork_hooks.admission import Degrade
from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import Action
from ragwork_hooks.documents import Corpus
from ragwork_hooks.retrieval import Passage, PreparedQuery, Query
from ragwork_hooks.storage import Transaction

from ragwork_agent.history import admissible
from ragwork_agent.sessions import Past
from ragwork_agent.workshop import Workshop

READ = Action(name="document.read")


@attrs.frozen(kw_only=True)
class Grounds:
    """What an answer may stand on."""

    passages: Sequence[Passage] = ()
    history: Sequence[Past] = ()

    @property
    def sources(self) -> frozenset[str]:
        """Every document whose text an answer may carry, by a passage or by the history."""
        found = frozenset(passage.document_id for passage in self.passages)
        return found.union(*(past.sources for past in self.history))


@attrs.frozen(kw_only=True)
class Retrieval:
    """A question ready to be read from the index."""

    workshop: Workshop
    principal: Principal
    provider: str
    prepared: PreparedQuery

    async def read(self, tx: Transaction, history: Sequence[Past]) -> Grounds:
        """Passages and history that the principal may read now: one round trip, two with cited history."""
        past = await admissible(tx, self.workshop.catalog, self.principal, history)
        scope = self.workshop.services.read_scope(self.principal, READ)
        return Grounds(passages=await self.prepared.passages(tx, scope), history=past)


async def prepare(
    workshop: Workshop, principal: Principal, corpus: Corpus, text: str, top_k: int, degrade: Degrade
) -> Retrieval:
    """Embed or ask the remote engine. Raises ``ProviderError``."""
    provider = _provider(corpus, degrade)
    retriever = await workshop.services.providers.retriever(provider)
    own = provider == corpus.retriever
    query = Query(
        corpus_id=corpus.id,
        text=text,
        top_k=top_k if degrade.top_k is None else min(top_k, degrade.top_k),
        embedder=corpus.embedder,
        # Another provider's options mean nothing to the one that stands in.
        options=corpus.options if own else {},
        fallback=corpus.fallback if own else (),
        shadow=corpus.shadow if own else None,
        shadow_options=corpus.shadow_options if own else {},
        scope=workshop.services.read_scope(principal, READ),
    )
    prepared = await retriever.prepare(principal.tenant_id, query)
    return Retrieval(workshop=workshop, principal=principal, provider=provider, prepared=prepared)


def _provider(corpus: Corpus, degrade: Degrade) -> str:
    if not degrade.providers or corpus.retriever in degrade.providers:
        return corpus.retriever
    return degrade.providers[0]
