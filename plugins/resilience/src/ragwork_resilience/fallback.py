"""Other providers that stand in for one that can't answer: only where the corpus or the operator says so."""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import attrs
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.llm import ChatModel, ChatRequest, Delta
from ragwork_hooks.operations import Metrics
from ragwork_hooks.provider_kinds import LLM, RETRIEVAL
from ragwork_hooks.retrieval import PreparedQuery, Query, Retriever
from ragwork_hooks.services import Providers

from ragwork_resilience.retry import RetriesExhausted

log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class FallbackProviders:
    """Where stand-ins come from, and where it is said that one was used."""

    providers: Providers
    metrics: Metrics

    def used(self, kind: str, name: str, instead: str) -> None:
        """Record that ``instead`` answered for ``name``: in a metric and the debug log, never to the caller."""
        self.metrics.count(
            "integrations_provider_fallbacks_total",
            "Calls that another provider answered",
            service=name,
            instead=instead,
        )
        log.debug("%s provider %s answered instead of %s", kind, instead, name)


@attrs.frozen
class RetrieverWithFallback:
    """Asks ``Query.fallback`` in order when the corpus' own retriever is exhausted.

    A stand-in is taken from the binding table, so its passages pass the same checks as always. It gets
    none of the corpus' options: they are another provider's.
    """

    name: str
    inner: Retriever
    fallbacks: FallbackProviders

    @property
    def transactional(self) -> bool:
        """The inner retriever's; a stand-in's passages are checked by its own wraps."""
        return self.inner.transactional

    async def prepare(self, tenant_id: str, query: Query) -> PreparedQuery:
        """See ``Retriever``. When nobody can answer, the first error is raised."""
        try:
            return await self.inner.prepare(tenant_id, query)
        except RetriesExhausted as error:
            others = [name for name in query.fallback if name != self.name]
            for name in others:
                try:
                    retriever = await self.fallbacks.providers.open(RETRIEVAL, name)
                    prepared = await retriever.prepare(
                        tenant_id, attrs.evolve(query, options={}, fallback=())
                    )
                except ProviderError as also:
                    log.debug("retrieval provider %s can't stand in for %s: %s", name, self.name, also)
                    continue
                self.fallbacks.used("retrieval", self.name, name)
                return prepared
            raise error


@attrs.frozen
class ModelWithFallback:
    """Lets others answer in order when the model fails before its first delta: those that the request names, whatever
    the failure, else the operator's ``others`` when the model is exhausted.
    """

    service: str
    inner: ChatModel
    others: Sequence[str]
    fallbacks: FallbackProviders

    @property
    def name(self) -> str:
        """The inner model's."""
        return self.inner.name

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """See ``ChatModel``. When nobody can answer, the first error is raised."""
        begun = False
        try:
            async with aclosing(self.inner.stream(request)) as deltas:
                async for delta in deltas:
                    begun = True
                    yield delta
            return
        except ProviderError as error:
            others = self._others(request, error)
            if begun or not others:
                raise
            first = error
        async with aclosing(self._instead(request, others, first)) as deltas:
            async for delta in deltas:
                yield delta

    async def aclose(self) -> None:
        """Close the inner model."""
        await self.inner.aclose()

    def _others(self, request: ChatRequest, error: ProviderError) -> Sequence[str]:
        if request.fallback is not None:
            return [name for name in request.fallback if name != self.service]
        return self.others if isinstance(error, RetriesExhausted) else ()

    async def _instead(
        self, request: ChatRequest, others: Sequence[str], first: ProviderError
    ) -> AsyncGenerator[Delta, None]:
        # A model is its provider's own, and who stands in is not stood in for.
        stand_in = attrs.evolve(request, model=None, fallback=())
        for name in others:
            begun = False
            try:
                model = await self.fallbacks.providers.open(LLM, name)
                async with aclosing(model.stream(stand_in)) as deltas:
                    async for delta in deltas:
                        if not begun:
                            begun = True
                            self.fallbacks.used("llm", self.service, name)
                            delta = attrs.evolve(delta, stand_in=name)
                        yield delta
                return
            except ProviderError as also:
                if begun:
                    raise
                log.debug("chat model %s can't stand in for %s: %s", name, self.service, also)
        raise first
