"""What goes wrong with a vendor's service, as errors of the contract. Messages carry no text of the service: it may
quote a key or a question.

Users: anthropic, bedrock, openai, s3source, vertex.
"""

from typing import Final

import attrs
from ragwork_hooks.errors import ProviderError

_REFUSED_CREDENTIALS: Final = frozenset({401, 403})
_TRANSIENT: Final = frozenset({408, 409, 429})
_AS_REFUSED: Final = attrs.Factory(lambda codes: str(codes.refused), takes_self=True)


@attrs.frozen(kw_only=True)
class VendorErrorCodes:
    """The contract's codes of one kind of provider, and what is said with them. A contract may have one code for a
    refusal, a timeout and an outage: then say ``refused`` alone.
    """

    #: The service refuses the credentials.
    auth: str
    #: It refuses the request.
    refused: str
    #: It takes too long.
    timeout: str = attrs.field(default=_AS_REFUSED)
    #: It is away, or what it sends is no answer.
    unavailable: str = attrs.field(default=_AS_REFUSED)
    #: What a person checks when the credentials are refused.
    check: str
    #: What messages call the service.
    service: str = "the service"


def status_error(
    codes: VendorErrorCodes, status: int | None, retry_after_s: float | None, said: str
) -> ProviderError:
    """An answer that is none, by its HTTP status; ``None`` for one that is not known. ``said`` tells of it."""
    if status in _REFUSED_CREDENTIALS:
        return ProviderError(codes.auth, f"{said}: check {codes.check}")
    if status is None or status in _TRANSIENT or status >= 500:
        return unavailable(codes, said, retry_after_s)
    return ProviderError(codes.refused, said)


def unavailable(codes: VendorErrorCodes, message: str, retry_after_s: float | None = None) -> ProviderError:
    """The service is away, or what it sent is no answer."""
    return ProviderError(codes.unavailable, message, retryable=True, retry_after_s=retry_after_s)


def timed_out(codes: VendorErrorCodes) -> ProviderError:
    """The time is over."""
    return ProviderError(codes.timeout, f"{codes.service} did not answer in time", retryable=True)


def connection_failed(codes: VendorErrorCodes) -> ProviderError:
    """No connection, or one that broke."""
    return unavailable(codes, f"the connection to {codes.service} failed")


def not_understood(codes: VendorErrorCodes) -> ProviderError:
    """An answer that is not what the wire format says."""
    return unavailable(codes, f"{codes.service}'s answer could not be understood")
