"""The client of Gemini and of the embedding models, made off the event loop: its import takes a second."""

import asyncio
from typing import TYPE_CHECKING

from ragwork_hooks.errors import ProviderError
from ragwork_toolkit.vendor.errors import VendorErrorCodes

from ragwork_vertex.config import VertexConfig, ready
from ragwork_vertex.credentials import operator_credentials
from ragwork_vertex.errors import of_gemini, translated

if TYPE_CHECKING:
    from google.genai import Client
    from google.genai.types import HttpOptions


async def connect(config: VertexConfig, codes: VendorErrorCodes, timeout_s: float) -> "Client":
    """A client of the Gemini API when there is a key for it, else of Vertex AI. ``timeout_s`` bounds each call.

    Raises ``ProviderError`` VERTEX_CONFIG_MISSING naming what is not set, or ``codes.auth``.
    """
    reason = ready(config)
    if reason is not None:
        raise ProviderError("VERTEX_CONFIG_MISSING", reason)
    return await asyncio.to_thread(_make, config, codes, timeout_s)


def _make(config: VertexConfig, codes: VendorErrorCodes, timeout_s: float) -> "Client":
    from google.genai import Client

    options = _http_options(config, timeout_s)
    with translated(codes, of_gemini):
        if config.api_key:
            client = Client(vertexai=False, api_key=config.api_key, http_options=options)
        else:
            client = Client(
                vertexai=True,
                project=config.project,
                location=config.region,
                credentials=operator_credentials(config.credentials_file),
                http_options=options,
            )
        # The SDK makes its modules when they are first touched; do that here, not in a request.
        _ = client.aio.models
        return client


def _http_options(config: VertexConfig, timeout_s: float) -> "HttpOptions":
    from google.genai.types import HttpOptions, HttpRetryOptions

    return HttpOptions(
        base_url=config.gemini_endpoint_url,
        timeout=round(timeout_s * 1000),
        # Said outright, else the SDK tries again after a lost connection. Resilience is a layer around
        # providers.
        retry_options=HttpRetryOptions(attempts=1),
        # A redirect would carry the key to another host.
        async_client_args={"allow_redirects": False},
    )
