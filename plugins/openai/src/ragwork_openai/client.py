"""The vendor's client, made off the event loop: its import alone takes most of a second."""

import asyncio
import importlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.settings import env_name

from ragwork_openai.config import ServiceConfig, lacking
from ragwork_openai.errors import translated, unavailable

if TYPE_CHECKING:
    from openai import AsyncAPIResponse, AsyncOpenAI


@attrs.frozen
class ModelService:
    """A model of a service, for providers of ``kind`` (``LLM``). ``key_setting`` is what to look at when the service
    does not know us.
    """

    kind: str
    client: "AsyncOpenAI"
    model: str
    key_setting: str

    @contextmanager
    def translated(self, timeout_code: str) -> Iterator[None]:
        """Turn what the SDK raises inside into ``ProviderError``."""
        with translated(self.kind, timeout_code, self.key_setting):
            yield

    async def aclose(self) -> None:
        """Close the client."""
        await self.client.close()


async def connect(config: ServiceConfig, kind: str, model: str) -> ModelService:
    """The model that the setting ``model`` names, by a client without retries of its own; resilience is a layer
    around providers.

    Raises ``ProviderError`` ``<kind>_CONFIG_MISSING`` when there is no key, address or model.
    """
    reason = lacking(config, model)
    if reason is not None:
        raise ProviderError(f"{kind}_CONFIG_MISSING", reason)
    client = await asyncio.to_thread(_make, config)
    return ModelService(kind, client, getattr(config, model), env_name(config, "api_key"))


def _make(config: ServiceConfig) -> "AsyncOpenAI":
    from openai import AsyncOpenAI

    client = AsyncOpenAI(
        api_key=config.api_key, base_url=config.base_url, timeout=config.timeout_s, max_retries=0
    )
    # The SDK imports a resource's module when it is first touched; do that here, not in a request.
    _ = client.chat.completions, client.embeddings, client.audio.speech, client.audio.transcriptions
    return client


async def received(response: "AsyncAPIResponse[Any]") -> AsyncGenerator[bytes, None]:
    """The body as it arrives. What the SDK's transport raises there is raised as the SDK's own errors."""
    import openai

    # The SDK changes its transport between releases; what it raises while a body is read passes through it.
    transport = importlib.import_module(type(response.http_response).__module__.partition(".")[0])
    try:
        async for chunk in response.iter_bytes():
            yield chunk
    except transport.TimeoutException as error:
        raise openai.APITimeoutError(request=response.http_request) from error
    except transport.HTTPError as error:
        raise openai.APIConnectionError(request=response.http_request) from error


async def read_whole(response: "AsyncAPIResponse[Any]", limit: int) -> bytes:
    """The whole body of at most ``limit`` bytes. Raises ``ProviderError`` INTEGRATION_UNAVAILABLE for a longer one."""
    body = bytearray()
    async for chunk in received(response):
        body += chunk
        if len(body) > limit:
            raise unavailable(f"the service's answer is longer than {limit} bytes")
    return bytes(body)
