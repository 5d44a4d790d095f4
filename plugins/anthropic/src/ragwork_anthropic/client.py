"""The vendor's client, made off the event loop: its import alone takes most of a second."""

import asyncio
from typing import TYPE_CHECKING

from ragwork_hooks.errors import ProviderError

from ragwork_anthropic.config import AnthropicConfig, ready

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic


async def connect(config: AnthropicConfig) -> "AsyncAnthropic":
    """A client without retries of its own; resilience is a layer around providers.

    Raises ``ProviderError`` LLM_CONFIG_MISSING when there is no key.
    """
    reason = ready(config)
    if reason is not None:
        raise ProviderError("LLM_CONFIG_MISSING", reason)
    return await asyncio.to_thread(_make, config)


def _make(config: AnthropicConfig) -> "AsyncAnthropic":
    from anthropic import AsyncAnthropic

    client = AsyncAnthropic(
        api_key=config.api_key,
        base_url=config.base_url,
        timeout=config.timeout_s,
        max_retries=0,
        # Spans are made around providers; the SDK's own may hold prompts, if a variable says so.
        open_telemetry={"traces": False, "propagation": False},
    )
    # The SDK imports a resource's module when it is first touched; do that here, not in a request.
    _ = client.messages
    return client
