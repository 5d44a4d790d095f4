"""What the SDK raises, as errors of the contract. Messages carry no text of the store: it may quote a key."""

import re
from datetime import UTC, datetime
from typing import Final

from ragwork_hooks.errors import ProviderError
from ragwork_toolkit.vendor.errors import VendorErrorCodes, not_understood, status_error
from ragwork_toolkit.vendor.retry_after import retry_after_s

CODES: Final = VendorErrorCodes(
    auth="CONNECTOR_ERROR",
    refused="CONNECTOR_ERROR",
    check="S3_SOURCE_ACCESS_KEY_ID and its secret, and that they may list and read the bucket",
    service="the store",
)
_NAME: Final = re.compile(r"[A-Za-z0-9]{1,64}")


def translated(error: Exception) -> ProviderError:
    """``error`` itself when it is a ``ProviderError`` already. Imports the SDK: not on the event loop."""
    from botocore import exceptions as sdk

    match error:
        case ProviderError():
            return error
        case sdk.ClientError():
            return _of_answer(error)
        case sdk.NoCredentialsError() | sdk.PartialCredentialsError() | sdk.CredentialRetrievalError():
            return ProviderError(
                "CONNECTOR_CONFIG_INVALID",
                "there are no keys: set S3_SOURCE_ACCESS_KEY_ID and S3_SOURCE_SECRET_ACCESS_KEY",
            )
        case sdk.BotoCoreError():
            return ProviderError("CONNECTOR_ERROR", f"the SDK refused the call ({type(error).__name__})")
    return not_understood(CODES)


def _of_answer(error: object) -> ProviderError:
    response = getattr(error, "response", {})
    metadata = response.get("ResponseMetadata", {})
    name = str(response.get("Error", {}).get("Code", ""))
    status = metadata.get("HTTPStatusCode")
    said = f"the store answered {status}" + (f" ({name})" if _NAME.fullmatch(name) else "")
    advice = metadata.get("HTTPHeaders", {}).get("retry-after")
    return status_error(CODES, status, retry_after_s(advice, datetime.now(UTC)), said)
