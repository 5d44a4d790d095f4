"""The vendor's client, made off the event loop: its import alone takes most of a second."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.settings import env_name
from ragwork_toolkit.vendor import stainless
from ragwork_toolkit.vendor.errors import VendorErrorCodes

from ragwork_openai.config import ServiceConfig, lacking
from ragwork_openai.errors import codes_of, of_status

if TYPE_CHECKING:
    from openai import AsyncAPIResponse, AsyncOpenAI


@attrs.frozen
class ModelService:
    """A model of a service; ``codes`` are of the kind of provider that uses it."""

    client: "AsyncOpenAI"
    model: str
    codes: VendorErrorCodes

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn what the SDK raises inside into ``ProviderError``."""
        import openai

        with stainless.translated(openai, self.codes, of_status(self.codes)):
            yield

    def received(self, response: "AsyncAPIResponse[Any]") -> AsyncIterator[bytes]:
        """The body as it arrives."""
        import openai

        return stainless.received(openai, response)

    async def read_whole(self, response: "AsyncAPIResponse[Any]", limit: int) -> bytes:
        """The whole body of at most ``limit`` bytes. Raises ``ProviderError`` for a longer one."""
        import openai

        return await stainless.read_whole(openai, response, self.codes, limit)

    async def aclose(self) -> None:
        """Close the client."""
        await self.client.close()


async def connect(config: ServiceConfig, kind: str, model: str) -> ModelService:
    """The model that the setting ``model`` names, for providers of ``kind`` (``LLM``), by a client without retries
    of its own; resilience is a layer around providers.

    Raises ``ProviderError`` ``<kind>_CONFIG_MISSING`` when there is no key, address or model.
    """
    reason = lacking(config, model)
    if reason is not None:
        raise ProviderError(f"{kind}_CONFIG_MISSING", reason)
    client = await asyncio.to_thread(_make, config)
    return ModelService(client, getattr(config, model), codes_of(kind, env_name(config, "api_key")))


def _make(config: ServiceConfig) -> "AsyncOpenAI":
    from openai import AsyncOpenAI

    client = AsyncOpenAI(
        api_key=config.api_key, base_url=config.base_url, timeout=config.timeout_s, max_retries=0
    )
    # The SDK imports a resource's module when it is first touched; do that here, not in a request.
    _ = client.chat.completions, client.embeddings, client.audio.speech, client.audio.transcriptions
    return client
