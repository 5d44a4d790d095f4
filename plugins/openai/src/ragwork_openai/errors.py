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
from ragwork_toolkit.vendor.errors import (
    VendorErrorCodes,
    connection_failed,
    not_understood,
    status_error,
    timed_out,
)
from ragwork_toolkit.vendor.retry_after import retry_after_s

if TYPE_CHECKING:
    import openai

_UNAVAILABLE = "INTEGRATION_UNAVAILABLE"
_CODE = re.compile(r"[a-z0-9_.-]{1,64}")


@contextmanager
def translated(kind: str, timeout_code: str, key_setting: str) -> Iterator[None]:
    """Turn what the SDK raises inside into ``ProviderError``: ``<kind>_AUTH_ERROR``, ``<kind>_ERROR``,
    ``timeout_code`` and INTEGRATION_UNAVAILABLE. ``key_setting`` is named when the service does not know us.
    """
    import openai

    codes = VendorErrorCodes(
        auth=f"{kind}_AUTH_ERROR",
        refused=f"{kind}_ERROR",
        timeout=timeout_code,
        unavailable=_UNAVAILABLE,
        check=key_setting,
    )
    try:
        yield
    except openai.APITimeoutError as error:
        raise timed_out(codes) from error
    except openai.APIConnectionError as error:
        raise connection_failed(codes) from error
    except openai.APIStatusError as error:
        raise _of_status(codes, error) from error
    except (openai.APIError, ValueError, TypeError, AttributeError, LookupError, struct.error) as error:
        # An error frame inside a stream, or an answer that is not what the wire format says: the SDK
        # does not validate, so a wrong shape shows as one of the builtin errors.
        raise not_understood(codes) from error


def unavailable(message: str) -> ProviderError:
    """What the service sent is no answer."""
    return ProviderError(_UNAVAILABLE, message, retryable=True)


def _of_status(codes: VendorErrorCodes, error: "openai.APIStatusError") -> ProviderError:
    status = error.status_code
    code = error.code if error.code and _CODE.fullmatch(error.code) else None
    said = f"the service answered {status}" + (f" ({code})" if code else "")
    if status == 429 and code == "insufficient_quota":
        return ProviderError(codes.unavailable, said)
    advice = error.response.headers.get("retry-after")
    return status_error(codes, status, retry_after_s(advice, datetime.now(UTC)), said)
