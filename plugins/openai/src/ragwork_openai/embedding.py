"""The embedder ``openai``."""

import asyncio
import base64
import json
import math
import struct
from collections.abc import Sequence
from typing import Literal

from ragwork_hooks.errors import ProviderError
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.retrieval import Embedder
from ragwork_toolkit.vendor.sendable_text import sendable_text

from ragwork_openai.client import ModelService, connect
from ragwork_openai.config import ServiceConfig, lacking
from ragwork_openai.errors import unavailable

#: Texts in one call; the service takes 2,048 but no more than 300,000 tokens.
_BATCH = 64
#: The service refuses texts of more than 8,191 tokens; a token is rarely less than a character.
_MAX_CHARS = 8_000
#: A batch of the longest vectors as numbers in text takes a tenth of it.
_MAX_ANSWER_BYTES = 32 * 1024 * 1024


class OpenAIEmbedder:
    """Each call is a request of its own, so a query never waits behind a batch of documents."""

    name = "openai"

    def __init__(self, service: ModelService, dimension: int) -> None:
        self._service = service
        self._dimension = dimension

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def languages(self) -> None:
        return None

    @property
    def unrelated_cosine(self) -> float:
        return 0.2

    async def embed(
        self, texts: Sequence[str], purpose: Literal["query", "document"]
    ) -> Sequence[Sequence[float]]:
        """Unit vectors, one per text; ``purpose`` makes no difference to these models.

        Raises ``ProviderError`` EMBEDDING_AUTH_ERROR, EMBEDDING_TIMEOUT, EMBEDDING_ERROR,
        EMBEDDING_DIMENSION_MISMATCH or INTEGRATION_UNAVAILABLE.
        """
        vectors: list[Sequence[float]] = []
        for start in range(0, len(texts), _BATCH):
            vectors.extend(await self._batch(texts[start : start + _BATCH]))
        return vectors

    async def aclose(self) -> None:
        await self._service.aclose()

    async def _batch(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        with self._service.translated():
            asked = self._service.client.embeddings.with_streaming_response.create(
                model=self._service.model,
                input=[_sendable(text) for text in texts],
                dimensions=self._dimension,
                # A quarter of the bytes; asked for by name, the SDK leaves the decoding to us.
                encoding_format="base64",
            )
            async with asked as answer:
                body = await self._service.read_whole(answer, _MAX_ANSWER_BYTES)
            vectors = await asyncio.to_thread(_vectors, body, len(texts))
        lengths = {len(vector) for vector in vectors}
        if lengths != {self._dimension}:
            raise ProviderError(
                "EMBEDDING_DIMENSION_MISMATCH",
                f"{self._dimension} dimensions were asked for, the model gave {sorted(lengths)}",
            )
        return vectors


def _sendable(text: str) -> str:
    """``text`` cut to what the service takes: never empty, and without lone surrogates (no UTF-8 form)."""
    return sendable_text(text[:_MAX_CHARS]) or " "


def _vectors(body: bytes, count: int) -> list[list[float]]:
    """The vectors of an answer in the order of their texts. A wrong shape shows as one of the builtin errors."""
    items = sorted(json.loads(body)["data"], key=lambda item: int(item["index"]))
    if [item["index"] for item in items] != list(range(count)):
        raise unavailable("the service left out a vector")
    return [_unit(item["embedding"]) for item in items]


def _unit(wire: object) -> list[float]:
    """A vector of length 1 from base64 of little-endian floats, or numbers from services without base64."""
    if isinstance(wire, str):
        data = base64.b64decode(wire, validate=True)
        vector: Sequence[float] = struct.unpack(f"<{len(data) // 4}f", data)
    elif isinstance(wire, list):
        vector = [float(value) for value in wire]
    else:
        raise unavailable("the service sent no vector")
    norm = math.hypot(*vector)
    if not 0.0 < norm < math.inf:
        raise unavailable("the service sent a vector without direction")
    return [value / norm for value in vector]


def _ready(config: ServiceConfig) -> str | None:
    return lacking(config, "embedding_model")


async def _open(context: ProviderContext[ServiceConfig]) -> Embedder:
    config = context.config
    service = await connect(config, "EMBEDDING", "embedding_model")
    return OpenAIEmbedder(service, config.embedding_dimensions)


provider: Provider[Embedder] = Provider(name="openai", open=_open, ready=_ready)
