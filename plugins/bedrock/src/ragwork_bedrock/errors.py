"""What the SDK raises, as errors of the contract. Messages carry no text from the service: it may
quote the question or the key.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import attrs
from ragwork_hooks.errors import ProviderError
from ragwork_toolkit.vendor.retry_after import retry_after_s

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_CODE = re.compile(r"[A-Za-z0-9._-]{1,64}")

# In lower case: an error in the middle of a stream begins its name with a small letter.
_AUTH = frozenset(
    {
        "accessdeniedexception", "unrecognizedclientexception", "invalidsignatureexception",
        "signaturedoesnotmatch", "expiredtokenexception", "expiredtoken", "invalidclienttokenid",
        "incompletesignature", "missingauthenticationtoken",
    }
)  # fmt: skip
_AWAY = frozenset(
    {
        "throttlingexception", "toomanyrequestsexception", "modelnotreadyexception",
        "internalserverexception", "serviceunavailableexception", "modelstreamerrorexception",
        "modelerrorexception", "dependencyfailedexception", "badgatewayexception", "conflictexception",
    }
)  # fmt: skip


@attrs.frozen(kw_only=True)
class Codes:
    """The contract's codes of one kind of provider."""

    timeout: str
    refused: str
    unavailable: str


RETRIEVAL = Codes(
    timeout="AWS_RETRIEVAL_ERROR", refused="AWS_RETRIEVAL_ERROR", unavailable="AWS_RETRIEVAL_ERROR"
)
CHAT = Codes(timeout="LLM_TIMEOUT", refused="LLM_ERROR", unavailable="INTEGRATION_UNAVAILABLE")


@contextmanager
def translated(codes: Codes) -> Iterator[None]:
    """Turn what the SDK raises inside into ``ProviderError``: AWS_CONFIG_MISSING, AWS_AUTH_ERROR or
    one of ``codes``. Imports the SDK: not on the event loop unless ``Clients.warm`` ran before.
    """
    from botocore import exceptions as sdk

    try:
        yield
    except ProviderError:
        raise
    except sdk.ClientError as error:
        raise _of_answer(codes, error) from error
    except Exception as error:
        meant = _of_failure(codes, error)
        if meant is error:
            raise
        raise meant from error


def unavailable(codes: Codes, message: str, retry_after_s: float | None = None) -> ProviderError:
    """The service is away, or what it sent is no answer."""
    return ProviderError(codes.unavailable, message, retryable=True, retry_after_s=retry_after_s)


def _of_answer(codes: Codes, error: "ClientError") -> ProviderError:
    """From the service's own error, in an answer or in a stream."""
    metadata = error.response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode", 0)
    name = str(error.response.get("Error", {}).get("Code", ""))
    named = name.lower()
    said = f"Bedrock answered {status}" + (f" ({name})" if _CODE.fullmatch(name) else "")
    if status in (401, 403) or named in _AUTH:
        return ProviderError("AWS_AUTH_ERROR", f"{said}: check the AWS credentials and what they may do")
    if status == 408 or named == "modeltimeoutexception":
        return ProviderError(codes.timeout, said, retryable=True)
    if status in (409, 424, 429) or status >= 500 or named in _AWAY:
        advice = metadata.get("HTTPHeaders", {}).get("retry-after")
        return unavailable(codes, said, retry_after_s(advice, datetime.now(UTC)))
    return ProviderError(codes.refused, said)


def _of_failure(codes: Codes, error: Exception) -> Exception:
    """From whatever kept an answer from coming or from being understood; ``error`` itself if it is none."""
    from botocore import eventstream, parsers
    from botocore import exceptions as sdk
    from urllib3 import exceptions as http

    match error:
        case sdk.NoCredentialsError() | sdk.PartialCredentialsError():
            return ProviderError(
                "AWS_CONFIG_MISSING", "AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not set"
            )
        case sdk.ProfileNotFound() | sdk.ConfigNotFound() | sdk.ConfigParseError() | sdk.InvalidConfigError():
            return ProviderError("AWS_CONFIG_MISSING", "AWS_PROFILE names no usable profile")
        case sdk.NoRegionError() | sdk.InvalidRegionError():
            return ProviderError("AWS_CONFIG_MISSING", "region names no region: set it, or AWS_REGION")
        case sdk.CredentialRetrievalError() | sdk.TokenRetrievalError() | sdk.SSOError():
            return ProviderError("AWS_AUTH_ERROR", "AWS credentials could not be obtained")
        case TimeoutError() | http.TimeoutError() | sdk.ConnectTimeoutError() | sdk.ReadTimeoutError():
            return ProviderError(codes.timeout, "Bedrock did not answer in time", retryable=True)
        case sdk.HTTPClientError() | sdk.ConnectionError() | http.HTTPError() | OSError():
            return unavailable(codes, "the connection to Bedrock failed")
        case sdk.BotoCoreError():
            return ProviderError(codes.refused, f"the SDK refused the call ({type(error).__name__})")
        case eventstream.ParserError() | parsers.ResponseParserError():
            return unavailable(codes, "Bedrock's answer could not be understood")
        case ValueError() | TypeError() | LookupError() | AttributeError():
            # The SDK does not check shapes, so a wrong one shows as a builtin error.
            return unavailable(codes, "Bedrock's answer could not be understood")
    return error
