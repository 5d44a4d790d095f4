"""The vendor's client, made off the event loop: its import alone takes most of a second."""

import asyncio
from typing import TYPE_CHECKING

from ragwork_hooks.errors import ProviderError

from ragwork_openai.config import OpenAIConfig

if TYPE_CHECKING:
    from openai import AsyncOpenAI


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
