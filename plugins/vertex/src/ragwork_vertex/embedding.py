"""The embedder ``vertex``."""

import asyncio
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ragwork_hooks.errors import ProviderError
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.retrieval import Embedder
from ragwork_toolkit.vendor.errors import unavailable
from ragwork_toolkit.vendor.sendable_text import sendable_text

from ragwork_vertex.config import VertexConfig, ready
from ragwork_vertex.errors import EMBEDDING, of_gemini, translated
from ragwork_vertex.gemini import connect

if TYPE_CHECKING:
    from google.genai import Client
    from google.genai.types import EmbedContentResponse

DIMENSION = 768
#: Texts in one call; the service takes 100 to 250, by model.
_BATCH = 32
#: The service takes 20,000 tokens in one call; a token is rarely less than a character.
_BATCH_CHARS = 20_000
#: The models read 2,048 tokens of a text.
_MAX_CHARS = 8_000


class GoogleEmbedder:
    """Each call is a request of its own, so a query never waits behind a batch of documents."""

    name = "vertex"

    def __init__(self, client: "Client", model: str, timeout_s: float) -> None:
        self._client = client
        self._model = model
        self._timeout_s = timeout_s

    @property
    def dimension(self) -> int:
        return DIMENSION

    @property
    def languages(self) -> frozenset[str] | None:
        return frozenset({"en"}) if self._model.startswith("text-embedding-00") else None

    @property
    def unrelated_cosine(self) -> float:
        return 0.5

    async def embed(
        self, texts: Sequence[str], purpose: Literal["query", "document"]
    ) -> Sequence[Sequence[float]]:
        """Unit vectors, one per text; queries and documents are embedded to match each other.

        Raises ``ProviderError`` VERTEX_AUTH_ERROR, VERTEX_TIMEOUT, EMBEDDING_ERROR,
        EMBEDDING_DIMENSION_MISMATCH or INTEGRATION_UNAVAILABLE.
        """
        vectors: list[Sequence[float]] = []
        for batch in _batches(texts):
            vectors.extend(await self._batch(batch, purpose))
        return vectors

    async def aclose(self) -> None:
        await self._client.aio.aclose()

    async def _batch(
        self, texts: list[str], purpose: Literal["query", "document"]
    ) -> Sequence[Sequence[float]]:
        from google.genai.types import EmbedContentConfig

        config = EmbedContentConfig(
            task_type="RETRIEVAL_QUERY" if purpose == "query" else "RETRIEVAL_DOCUMENT",
            output_dimensionality=DIMENSION,
        )
        contents: list[Any] = list(
            texts
        )  # what the SDK calls a list of texts depends on whether Pillow is there
        with translated(EMBEDDING, of_gemini):
            async with asyncio.timeout(self._timeout_s):
                answer = await self._client.aio.models.embed_content(
                    model=self._model, contents=contents, config=config
                )
            return await asyncio.to_thread(_vectors, answer, len(texts))


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in map(_sendable, texts):
        if batch and (len(batch) == _BATCH or size + len(text) > _BATCH_CHARS):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch


def _sendable(text: str) -> str:
    """``text`` cut to what a model reads: never empty, and without lone surrogates (no UTF-8 form)."""
    return sendable_text(text[:_MAX_CHARS]) or " "


def _vectors(answer: "EmbedContentResponse", count: int) -> Sequence[Sequence[float]]:
    found = [embedding.values or [] for embedding in answer.embeddings or []]
    if len(found) != count:
        raise unavailable(EMBEDDING, "the service left out a vector")
    lengths = {len(vector) for vector in found}
    if lengths != {DIMENSION}:
        raise ProviderError(
            "EMBEDDING_DIMENSION_MISMATCH",
            f"{DIMENSION} dimensions were asked for, the model gave {sorted(lengths)}",
        )
    return [_unit(vector) for vector in found]


def _unit(vector: Sequence[float]) -> list[float]:
    """The models give unit vectors only in their full length."""
    norm = math.hypot(*vector)
    if not 0.0 < norm < math.inf:
        raise unavailable(EMBEDDING, "the service sent a vector without direction")
    return [value / norm for value in vector]


async def _open(context: ProviderContext[VertexConfig]) -> Embedder:
    config = context.config
    client = await connect(config, EMBEDDING, config.embedding_timeout_s)
    return GoogleEmbedder(client, config.embedding_model, config.embedding_timeout_s)


provider: Provider[Embedder] = Provider(name="vertex", open=_open, ready=ready)
