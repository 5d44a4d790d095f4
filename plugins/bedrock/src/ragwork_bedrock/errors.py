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
from ragwork_toolkit.vendor.errors import (
    VendorErrorCodes,
    connection_failed,
    not_understood,
    status_error,
    timed_out,
)
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


RETRIEVAL = VendorErrorCodes(
    auth="AWS_AUTH_ERROR",
    refused="AWS_RETRIEVAL_ERROR",
    check="the AWS credentials and what they may do",
    service="Bedrock",
)
CHAT = attrs.evolve(
    RETRIEVAL, refused="LLM_ERROR", timeout="LLM_TIMEOUT", unavailable="INTEGRATION_UNAVAILABLE"
)


@contextmanager
def translated(codes: VendorErrorCodes) -> Iterator[None]:
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


def _of_answer(codes: VendorErrorCodes, error: "ClientError") -> ProviderError:
    """From the service's own error, in an answer or in a stream."""
    metadata = error.response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode", 0)
    name = str(error.response.get("Error", {}).get("Code", ""))
    named = name.lower()
    said = f"Bedrock answered {status}" + (f" ({name})" if _CODE.fullmatch(name) else "")
    if status in (401, 403) or named in _AUTH:
        status = 401
    elif status == 408 or named == "modeltimeoutexception":
        return ProviderError(codes.timeout, said, retryable=True)
    elif status == 424 or named in _AWAY:
        status = 503
    advice = metadata.get("HTTPHeaders", {}).get("retry-after")
    return status_error(codes, status, retry_after_s(advice, datetime.now(UTC)), said)


def _of_failure(codes: VendorErrorCodes, error: Exception) -> Exception:
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
            return ProviderError(codes.auth, "AWS credentials could not be obtained")
        case TimeoutError() | http.TimeoutError() | sdk.ConnectTimeoutError() | sdk.ReadTimeoutError():
            return timed_out(codes)
        case sdk.HTTPClientError() | sdk.ConnectionError() | http.HTTPError() | OSError():
            return connection_failed(codes)
        case sdk.BotoCoreError():
            return ProviderError(codes.refused, f"the SDK refused the call ({type(error).__name__})")
        case eventstream.ParserError() | parsers.ResponseParserError():
            return not_understood(codes)
        case ValueError() | TypeError() | LookupError() | AttributeError():
            # The SDK does not check shapes, so a wrong one shows as a builtin error.
            return not_understood(codes)
    return error
