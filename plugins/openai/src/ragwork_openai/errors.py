"""What the service says is wrong, as errors of the contract. No message has its text: it may quote key or prompt."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ragwork_hooks.errors import ProviderError
from ragwork_toolkit.vendor.errors import VendorErrorCodes, status_error
from ragwork_toolkit.vendor.retry_after import retry_after_s

if TYPE_CHECKING:
    import openai

_UNAVAILABLE: Final = "INTEGRATION_UNAVAILABLE"
_CODE: Final = re.compile(r"[a-z0-9_.-]{1,64}")


def codes_of(kind: str, key_setting: str) -> VendorErrorCodes:
    """``<kind>_AUTH_ERROR``, ``<kind>_ERROR``, ``<kind>_TIMEOUT`` (of speech ``<kind>_ERROR``) and
    INTEGRATION_UNAVAILABLE. ``key_setting`` is named when the service does not know us.
    """
    return VendorErrorCodes(
        auth=f"{kind}_AUTH_ERROR",
        refused=f"{kind}_ERROR",
        timeout=f"{kind}_ERROR" if kind in ("TTS", "ASR") else f"{kind}_TIMEOUT",
        unavailable=_UNAVAILABLE,
        check=key_setting,
    )


def unavailable(message: str) -> ProviderError:
    """What the service sent is no answer."""
    return ProviderError(_UNAVAILABLE, message, retryable=True)


def of_status(codes: VendorErrorCodes) -> "Callable[[openai.APIStatusError], ProviderError]":
    """What an answer of a wrong status becomes."""

    def judged(error: "openai.APIStatusError") -> ProviderError:
        status = error.status_code
        code = error.code if error.code and _CODE.fullmatch(error.code) else None
        said = f"the service answered {status}" + (f" ({code})" if code else "")
        if status == 429 and code == "insufficient_quota":
            return ProviderError(codes.unavailable, said)
        advice = error.response.headers.get("retry-after")
        return status_error(codes, status, retry_after_s(advice, datetime.now(UTC)), said)

    return judged
