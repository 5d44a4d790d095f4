"""What a bound provider is replaced with: the same protocol, every call guarded."""

from collections.abc import AsyncGenerator, Sequence
from typing import Final, Literal

import attrs
from ragwork_hooks.llm import ChatModel, ChatRequest, Delta
from ragwork_hooks.notification import Channel, Destination, Notification
from ragwork_hooks.retrieval import Embedder, PreparedQuery, Query, Retriever
from ragwork_hooks.speech import Audio, SpeechRecognizer, SpeechSynthesizer

from ragwork_resilience.guard import Guard
from ragwork_resilience.streams import guarded

#: The corpus option that names a tenant's own credentials.
CREDENTIALS: Final = "credentials_ref"


@attrs.frozen
class GuardedRetriever:
    """A retriever whose remote step is guarded. A tenant with credentials of its own has its own circuit."""

    inner: Retriever
    guard: Guard

    @property
    def transactional(self) -> bool:
        """The inner retriever's."""
        return self.inner.transactional

    async def prepare(self, tenant_id: str, query: Query) -> PreparedQuery:
        """See ``Retriever``; also raises what ``Guard`` does."""
        account = tenant_id if query.options.get(CREDENTIALS) else ""
        return await self.guard.call(lambda: self.inner.prepare(tenant_id, query), account)


@attrs.frozen
class GuardedEmbedder:
    """An embedder whose calls are guarded."""

    inner: Embedder
    guard: Guard

    @property
    def name(self) -> str:
        """The inner embedder's."""
        return self.inner.name

    @property
    def dimension(self) -> int:
        """The inner embedder's."""
        return self.inner.dimension

    @property
    def languages(self) -> frozenset[str] | None:
        """The inner embedder's."""
        return self.inner.languages

    @property
    def unrelated_cosine(self) -> float:
        """The inner embedder's."""
        return self.inner.unrelated_cosine

    async def embed(
        self, texts: Sequence[str], purpose: Literal["query", "document"]
    ) -> Sequence[Sequence[float]]:
        """See ``Embedder``; also raises what ``Guard`` does."""
        return await self.guard.call(lambda: self.inner.embed(texts, purpose))

    async def aclose(self) -> None:
        """Close the inner embedder."""
        await self.inner.aclose()


@attrs.frozen
class GuardedModel:
    """A chat model whose streams are guarded; repeated only before the first delta."""

    inner: ChatModel
    guard: Guard

    @property
    def name(self) -> str:
        """The inner model's."""
        return self.inner.name

    def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """See ``ChatModel``; also raises what ``Guard`` does."""
        return guarded(self.guard, lambda: self.inner.stream(request))

    async def aclose(self) -> None:
        """Close the inner model."""
        await self.inner.aclose()


@attrs.frozen
class GuardedSynthesizer:
    """A synthesizer whose calls are guarded."""

    inner: SpeechSynthesizer
    guard: Guard

    @property
    def name(self) -> str:
        """The inner synthesizer's."""
        return self.inner.name

    async def synthesize(self, text: str) -> Audio:
        """See ``SpeechSynthesizer``; also raises what ``Guard`` does."""
        return await self.guard.call(lambda: self.inner.synthesize(text))

    async def aclose(self) -> None:
        """Close the inner synthesizer."""
        await self.inner.aclose()


@attrs.frozen
class GuardedRecognizer:
    """A recognizer whose calls are guarded."""

    inner: SpeechRecognizer
    guard: Guard

    @property
    def name(self) -> str:
        """The inner recognizer's."""
        return self.inner.name

    async def recognize(self, audio: Audio, phrases: Sequence[str] = ()) -> str:
        """See ``SpeechRecognizer``; also raises what ``Guard`` does."""
        return await self.guard.call(lambda: self.inner.recognize(audio, phrases))

    async def aclose(self) -> None:
        """Close the inner recognizer."""
        await self.inner.aclose()


@attrs.frozen
class GuardedChannel:
    """A channel whose deliveries are timed and bounded. They are not repeated here, since the job that
    delivers repeats them; and a tenant's dead receiver must not cut off the others', so each
    destination has its own circuit.
    """

    inner: Channel
    guard: Guard

    @property
    def name(self) -> str:
        """The inner channel's."""
        return self.inner.name

    async def deliver(self, destination: Destination, delivery_id: str, notice: Notification) -> None:
        """See ``Channel``; also raises what ``Guard`` does."""
        account = f"{destination.tenant_id}/{destination.id}"
        await self.guard.call(lambda: self.inner.deliver(destination, delivery_id, notice), account)
