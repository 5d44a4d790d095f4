"""What the SDKs raise, as errors of the contract. Messages carry no text from the service: it may quote
the key or the prompt.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

import attrs
from ragwork_hooks.errors import ProviderError
from ragwork_toolkit.vendor.errors import (
    VendorErrorCodes,
    connection_failed,
    not_understood,
    status_error,
    timed_out,
    unavailable,
)
from ragwork_toolkit.vendor.retry_after import MAX_RETRY_AFTER_S, retry_after_s

if TYPE_CHECKING:
    from google.auth.exceptions import GoogleAuthError


RETRIEVAL = VendorErrorCodes(
    auth="VERTEX_RETRIEVAL_AUTH_ERROR",
    refused="VERTEX_RETRIEVAL_ERROR",
    check="the credentials and their permissions",
)
CHAT = attrs.evolve(
    RETRIEVAL,
    auth="VERTEX_AUTH_ERROR",
    refused="LLM_ERROR",
    timeout="VERTEX_TIMEOUT",
    unavailable="INTEGRATION_UNAVAILABLE",
)
EMBEDDING = attrs.evolve(CHAT, refused="EMBEDDING_ERROR")

#: What an SDK's own errors mean; ``None`` for an error that is not the SDK's.
Reading: TypeAlias = Callable[[VendorErrorCodes, Exception], ProviderError | None]


@contextmanager
def translated(codes: VendorErrorCodes, reading: Reading) -> Iterator[None]:
    """Turn what an SDK raises inside into ``ProviderError`` with one of ``codes``."""
    try:
        yield
    except ProviderError:
        raise
    except Exception as error:
        found = reading(codes, error) or _common(codes, error)
        if found is None:
            raise
        raise found from error


def of_search(codes: VendorErrorCodes, error: Exception) -> ProviderError | None:
    """Errors of the search SDK. Imports it, which it has been before it could raise."""
    from google.api_core.exceptions import GoogleAPICallError
    from google.protobuf.json_format import ParseError
    from requests.exceptions import RequestException, Timeout

    match error:
        case GoogleAPICallError():
            return _of_status(codes, error.code, _advice(error.response))
        case Timeout():
            return timed_out(codes)
        case RequestException():
            return connection_failed(codes)
        case ParseError():
            return not_understood(codes)
    return None


def of_gemini(codes: VendorErrorCodes, error: Exception) -> ProviderError | None:
    """Errors of the Gemini SDK. Imports it, which it has been before it could raise."""
    import aiohttp
    from google.genai.errors import APIError

    if isinstance(error, aiohttp.ClientError):
        return connection_failed(codes)
    if not isinstance(error, APIError):
        return None
    details = _details(error.details)
    if any(detail.get("reason") == "API_KEY_INVALID" for detail in details):
        # The Gemini API says 400 to a key that it does not know.
        return ProviderError(codes.auth, "the service does not know the key: check GEMINI_API_KEY")
    advice = _advice(error.response)
    code: object = error.code  # in a stream it is whatever the frame said
    status = code if isinstance(code, int) else None
    return _of_status(codes, status, _retry_delay(details) if advice is None else advice)


def _advice(response: object) -> float | None:
    headers: Mapping[str, str] = getattr(response, "headers", None) or {}
    return retry_after_s(headers.get("Retry-After"), datetime.now(UTC))


def _common(codes: VendorErrorCodes, error: Exception) -> ProviderError | None:
    from google.auth.exceptions import GoogleAuthError

    match error:
        case GoogleAuthError():
            return _of_credentials(codes, error)
        case TimeoutError():
            return timed_out(codes)
        case ConnectionError():
            return connection_failed(codes)
        case ValueError() | TypeError() | AttributeError() | LookupError():
            # The SDKs hardly check what they parse, so a wrong shape shows as one of the builtin errors.
            return not_understood(codes)
    return None


def _of_status(codes: VendorErrorCodes, status: int | None, retry_after_s: float | None) -> ProviderError:
    return status_error(codes, status, retry_after_s, f"the service answered {status}")


def _of_credentials(codes: VendorErrorCodes, error: "GoogleAuthError") -> ProviderError:
    from google.auth.exceptions import TransportError

    if error.retryable or isinstance(error, TransportError):
        return unavailable(codes, "the credentials could not be exchanged for an access token")
    return ProviderError(codes.auth, "no usable Google credentials: set GOOGLE_APPLICATION_CREDENTIALS")


def _details(body: object) -> Sequence[Mapping[str, object]]:
    """The typed details (google.rpc.Status) of an error's body."""
    error = body.get("error", body) if isinstance(body, Mapping) else None
    found = error.get("details") if isinstance(error, Mapping) else None
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _retry_delay(details: Sequence[Mapping[str, object]]) -> float | None:
    """Seconds of a google.rpc.RetryInfo, a text such as ``7.5s``."""
    for detail in details:
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)s", str(detail.get("retryDelay")))
        if match:
            return min(float(match[1]), MAX_RETRY_AFTER_S)
    return None
