"""The vendor's client, made off the event loop: its import alone takes most of a second."""

import asyncio
import importlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from ragwork_hooks.errors import ProviderError

from ragwork_openai.config import OpenAIConfig
from ragwork_openai.errors import unavailable

if TYPE_CHECKING:
    from openai import AsyncAPIResponse, AsyncOpenAI


async def connect(config: OpenAIConfig, kind: str) -> "AsyncOpenAI":
    """A client without retries of its own; resilience is a layer around providers.

    Raises ``ProviderError`` ``<kind>_CONFIG_MISSING`` when there is no key.
    """
    if not config.api_key:
        raise ProviderError(f"{kind}_CONFIG_MISSING", "OPENAI_API_KEY is not set")
    return await asyncio.to_thread(_make, config, config.api_key)


def _make(config: OpenAIConfig, api_key: str) -> "AsyncOpenAI":
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key=api_key, base_url=config.base_url, timeout=config.timeout_s, max_retries=0)
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
