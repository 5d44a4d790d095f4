"""Typed errors that cross the seams, and the catalogue of wire codes with their HTTP status.

Source of the codes: the NexusRAG wire contract. A code that is not in the catalogue may be raised
with an explicit status; the contract's default code per status lives in ``DEFAULT_CODES``.
"""

from collections.abc import Mapping
from types import MappingProxyType

#: HTTP status → code for errors that carry none of their own.
DEFAULT_CODES: Mapping[int, str] = MappingProxyType(
    {
        400: "BAD_REQUEST",
        401: "AUTH_UNAUTHORIZED",
        402: "QUOTA_EXCEEDED",
        403: "AUTH_FORBIDDEN",
        404: "NOT_FOUND",
        405: "METHOD_NOT_ALLOWED",
        408: "REQUEST_TIMEOUT",
        409: "CONFLICT",
        410: "GONE",
        413: "PAYLOAD_TOO_LARGE",
        414: "URI_TOO_LONG",
        415: "UNSUPPORTED_MEDIA_TYPE",
        417: "EXPECTATION_FAILED",
        422: "VALIDATION_ERROR",
        429: "RATE_LIMITED",
        431: "REQUEST_HEADER_FIELDS_TOO_LARGE",
        500: "INTERNAL_ERROR",
        503: "SERVICE_UNAVAILABLE",
    }
)

#: Wire code → HTTP status, for every code that the assembled platform raises.
STATUS_OF: Mapping[str, int] = MappingProxyType(
    {code: status for status, code in DEFAULT_CODES.items()}
    | {
        "AUTH_INVALID_ROLE": 400,
        "SSO_INVALID_STATE": 400,
        "IDEMPOTENCY_KEY_INVALID": 400,
        "IDEMPOTENCY_KEY_REQUIRED": 400,
        "BILLING_WEBHOOK_NOT_CONFIGURED": 400,
        "AUTHZ_SIMULATION_INVALID": 400,
        "INVALID_CURSOR": 400,
        "TENANT_ID_NOT_ALLOWED": 400,
        "AUTH_EXPIRED_KEY": 401,
        "AUTH_INACTIVE_KEY": 401,
        "AUTH_REVOKED_KEY": 401,
        "SCIM_UNAUTHORIZED": 401,
        "SSO_ID_TOKEN_INVALID": 401,
        "AUTHZ_DENIED": 403,
        "IDENTITY_FEATURE_DISABLED": 403,
        "SSO_JIT_DISABLED": 403,
        "FEATURE_NOT_ENABLED": 403,
        "AUTHZ_PERMISSION_NOT_FOUND": 404,
        "SSO_PROVIDER_NOT_FOUND": 404,
        "IDEMPOTENCY_KEY_CONFLICT": 409,
        "INGEST_IN_PROGRESS": 409,
        "INGEST_SOURCE_MISSING": 409,
        "KEY_LIMIT_REACHED": 409,
        "SESSION_BUSY": 409,
        "PRECONDITION_FAILED": 412,
        "SCIM_PAYLOAD_INVALID": 422,
        "AUTHZ_POLICY_INVALID": 422,
        "AUTHZ_POLICY_TOO_COMPLEX": 422,
        "INGEST_VALIDATION_ERROR": 422,
        "REQUEST_VALIDATION_ERROR": 422,
        "DB_ERROR": 500,
        "NOT_IMPLEMENTED": 501,
        "SSO_TOKEN_EXCHANGE_FAILED": 502,
        "AUTH_UNAVAILABLE": 503,
        "POLICY_ENGINE_UNAVAILABLE": 503,
        "FEATURE_TEMPORARILY_DISABLED": 503,
        "QUEUE_ERROR": 503,
        "RATE_LIMIT_UNAVAILABLE": 503,
        "SLO_DATA_UNAVAILABLE": 503,
        "SERVICE_BUSY": 503,
    }
)


class Problem(Exception):
    """A refusal with a wire code, a message for people and optional details.

    ``status`` defaults to the catalogue's. ``details`` values must be JSON-serialisable. An authenticator
    that knows whose credential it refuses gives ``tenant_id``: that tenant's audit log records it.
    ``audit_event`` names the record of a refusal.
    Raised by handlers, gates and capabilities; the kernel turns it into the error envelope.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        details: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        tenant_id: str | None = None,
        audit_event: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.tenant_id = tenant_id
        self.audit_event = audit_event
        self.status = STATUS_OF[code] if status is None else status
        self.details: Mapping[str, object] = dict(details or {})
        self.headers: Mapping[str, str] = dict(headers or {})

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def retry_after(seconds: float) -> Mapping[str, str]:
    """The header that says when to ask again: in whole seconds, one at least."""
    return {"Retry-After": str(max(1, round(seconds)))}


def unauthenticated(
    code: str, message: str, tenant_id: str | None = None, *, challenge: str = "Bearer"
) -> Problem:
    """A 401 of ``code`` with its ``challenge``.

    ``tenant_id`` is given for a credential that was proven: a mere claim to be somebody's must not write into
    their audit log.
    """
    headers = {"WWW-Authenticate": challenge}
    return Problem(code, message, status=401, headers=headers, tenant_id=tenant_id)


def busy(message: str, retry_after_s: float = 1.0) -> Problem:
    """503 SERVICE_BUSY: others have all places; one may be free in ``retry_after_s`` seconds."""
    return Problem("SERVICE_BUSY", message, headers=retry_after(retry_after_s))


def unavailable(message: str, retry_after_s: float = 1.0) -> Problem:
    """503 SERVICE_UNAVAILABLE: what is needed does not answer; it may in ``retry_after_s`` seconds."""
    return Problem("SERVICE_UNAVAILABLE", message, headers=retry_after(retry_after_s))


def not_found(what: str, identifier: str) -> Problem:
    """The one answer for an id that does not exist or belongs to another tenant."""
    return Problem("NOT_FOUND", f"{what} {identifier!r} does not exist")


class ProviderError(Exception):
    """A provider could not do its work.

    ``code`` is a stream error code of the contract (``AWS_RETRIEVAL_ERROR``, ``TTS_ERROR`` …);
    ``retryable`` tells a resilience wrap whether another attempt may help; ``retry_after_s`` is the
    provider's own advice in seconds.
    """

    def __init__(
        self, code: str, message: str, *, retryable: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class NotSupported(ProviderError):
    """The provider never does this; asking again is pointless."""

    def __init__(self, message: str) -> None:
        super().__init__("NOT_SUPPORTED", message)


class NotConfigured(Exception):
    """Raised by ``ragwork_contribute`` while the operator has not asked for the plugin's feature: it is off, and
    that is nothing to mend. The text says what to set, in the imperative.
    """


class ConfigError(Exception):
    """A setting is wrong. ``where`` names it (``TOP_K``, ``[pgvector] ef_search``), ``fix`` says what to do."""

    def __init__(self, where: str, message: str, fix: str) -> None:
        super().__init__(f"{where}: {message}. Fix: {fix}")
        self.where = where
        self.message = message
        self.fix = fix
