"""What the service says is wrong, as errors of the contract. Messages carry no text of it: it may quote the prompt."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ragwork_hooks.errors import ProviderError
from ragwork_toolkit.vendor.errors import VendorErrorCodes, status_error
from ragwork_toolkit.vendor.retry_after import retry_after_s
from ragwork_toolkit.vendor.stainless import translated as translated_of

if TYPE_CHECKING:
    import anthropic

CODES: Final = VendorErrorCodes(
    auth="LLM_AUTH_ERROR",
    refused="LLM_ERROR",
    timeout="LLM_TIMEOUT",
    unavailable="INTEGRATION_UNAVAILABLE",
    check="ANTHROPIC_API_KEY",
)
#: The types of errors that the service documents, each with the status that it has outside of streams.
_STATUSES: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the SDK raises inside into ``ProviderError`` LLM_AUTH_ERROR, LLM_ERROR, LLM_TIMEOUT and
    INTEGRATION_UNAVAILABLE.
    """
    import anthropic

    with translated_of(anthropic, CODES, _of_status):
        yield


def in_stream(error: object) -> ProviderError:
    """The error that the service reports inside a stream which began well."""
    kind = error.get("type") if isinstance(error, dict) else None
    known = kind if isinstance(kind, str) and kind in _STATUSES else None
    said = f"the service reports {known or 'an error'} in the middle of its answer"
    return status_error(CODES, None if known is None else _STATUSES[known], None, said)


def _of_status(error: "anthropic.APIStatusError") -> ProviderError:
    kind = _kind(error.body)
    said = f"the service answered {error.status_code}" + (f" ({kind})" if kind else "")
    advice = error.response.headers.get("retry-after")
    return status_error(CODES, error.status_code, retry_after_s(advice, datetime.now(UTC)), said)


def _kind(body: Any) -> str | None:
    """The type of error in the answer's body, if it is one that we know."""
    error = body.get("error") if isinstance(body, dict) else None
    kind = error.get("type") if isinstance(error, dict) else None
    return kind if isinstance(kind, str) and kind in _STATUSES else None
