"""What the SDKs have in common that Stainless generates: their errors, and bodies as they arrive. The SDK's module is
handed in, as nothing here may import one.

Users: anthropic, openai.
"""

import importlib
import struct
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ragwork_hooks.errors import ProviderError

from ragwork_toolkit.vendor.errors import (
    VendorErrorCodes,
    connection_failed,
    not_understood,
    timed_out,
    unavailable,
)


@contextmanager
def translated(
    sdk: Any, codes: VendorErrorCodes, of_status: Callable[[Any], ProviderError]
) -> Iterator[None]:
    """Turn what ``sdk`` raises inside into ``ProviderError``; ``of_status`` judges answers of a wrong status."""
    try:
        yield
    except sdk.APITimeoutError as error:
        raise timed_out(codes) from error
    except sdk.APIConnectionError as error:
        raise connection_failed(codes) from error
    except sdk.APIStatusError as error:
        raise of_status(error) from error
    except (sdk.APIError, ValueError, TypeError, AttributeError, LookupError, struct.error) as error:
        # An error frame inside a stream, or an answer that is not what the wire format says: the SDK
        # does not validate, so a wrong shape shows as one of the builtin errors.
        raise not_understood(codes) from error


async def received(sdk: Any, response: Any) -> AsyncGenerator[bytes, None]:
    """The body as it arrives. What the SDK's transport raises there is raised as the SDK's own errors."""
    # The SDK changes its transport between releases; what it raises while a body is read passes through it.
    transport = importlib.import_module(type(response.http_response).__module__.partition(".")[0])
    try:
        async for chunk in response.iter_bytes():
            yield chunk
    except transport.TimeoutException as error:
        raise sdk.APITimeoutError(request=response.http_request) from error
    except transport.HTTPError as error:
        raise sdk.APIConnectionError(request=response.http_request) from error


async def read_whole(sdk: Any, response: Any, codes: VendorErrorCodes, limit: int) -> bytes:
    """The whole body of at most ``limit`` bytes. Raises ``ProviderError`` ``codes.unavailable`` for a longer one."""
    body = bytearray()
    async for chunk in received(sdk, response):
        body += chunk
        if len(body) > limit:
            raise unavailable(codes, f"{codes.service}'s answer is longer than {limit} bytes")
    return bytes(body)
