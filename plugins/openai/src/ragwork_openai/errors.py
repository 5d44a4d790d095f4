"""What the SDK raises, as errors of the contract. Messages carry no text from the service: it may
quote the key or the prompt.
"""

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragwork_hooks.errors import ProviderError
from ragwork_toolkit.vendor.retry_after import retry_after_s

if TYPE_CHECKING:
    import openai

_CODE = re.compile(r"[a-z0-9_.-]{1,64}")


@contextmanager
def translated(kind: str, timeout_code: str) -> Iterator[None]:
    """Turn what the SDK raises inside into ``ProviderError``: ``<kind>_AUTH_ERROR``, ``<kind>_ERROR``,
    ``timeout_code`` and INTEGRATION_UNAVAILABLE.
    """
    import openai

    try:
        yield
    except openai.APITimeoutError as error:
        raise ProviderError(timeout_code, "the service did not answer in time", retryable=True) from error
    except openai.APIConnectionError as error:
        raise unavailable("the connection to the service failed") from error
    except openai.APIStatusError as error:
        raise _of_status(kind, error) from error
    except (openai.APIError, ValueError, TypeError, AttributeError, LookupError, struct.error) as error:
        # An error frame inside a stream, or an answer that is not what the wire format says: the SDK
        # does not validate, so a wrong shape shows as one of the builtin errors.
        raise unavailable("the service's answer could not be understood") from error


def unavailable(message: str, retry_after_s: float | None = None) -> ProviderError:
    """The service is away, or what it sent is no answer."""
    return ProviderError("INTEGRATION_UNAVAILABLE", message, retryable=True, retry_after_s=retry_after_s)


def _of_status(kind: str, error: "openai.APIStatusError") -> ProviderError:
    status = error.status_code
    code = error.code if error.code and _CODE.fullmatch(error.code) else None
    said = f"the service answered {status}" + (f" ({code})" if code else "")
    if status in (401, 403):
        return ProviderError(f"{kind}_AUTH_ERROR", f"{said}: check OPENAI_API_KEY")
    if status == 429 and code == "insufficient_quota":
        return ProviderError("INTEGRATION_UNAVAILABLE", said)
    if status in (408, 409, 429) or status >= 500:
        advice = error.response.headers.get("retry-after")
        return unavailable(said, retry_after_s(advice, datetime.now(UTC)))
    return ProviderError(f"{kind}_ERROR", said)
