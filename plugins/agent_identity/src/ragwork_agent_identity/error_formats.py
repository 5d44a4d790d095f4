"""How the two surfaces speak: the Oculus envelope of errors, and that of RFC 6749."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs
from ragwork_hooks.errors import Problem
from ragwork_hooks.http import Scheme

_OCULUS_CODES: Final[Mapping[str, tuple[int, str]]] = MappingProxyType(
    {
        "AUTH_UNAUTHORIZED": (401, "AUTH_INVALID_CREDENTIALS"),
        "REQUEST_VALIDATION_ERROR": (400, "VALIDATION_ERROR"),
        "TENANT_ID_NOT_ALLOWED": (400, "VALIDATION_ERROR"),
        "UNSUPPORTED_MEDIA_TYPE": (400, "VALIDATION_ERROR"),
        "INVALID_SCOPE": (400, "VALIDATION_ERROR"),
        "INVALID_TARGET": (400, "VALIDATION_ERROR"),
        "INVALID_GRANT": (401, "AUTH_INVALID_CREDENTIALS"),
        "RATE_LIMITED": (429, "RATE_LIMIT_EXCEEDED"),
    }
)
_RFC_CODES: Final[Mapping[str, tuple[int, str]]] = MappingProxyType(
    {
        "AUTH_INVALID_CREDENTIALS": (401, "invalid_client"),
        "AUTH_UNAUTHORIZED": (401, "invalid_client"),
        "AUTH_AGENT_REVOKED": (401, "invalid_client"),
        "AUTH_AGENT_SUSPENDED": (401, "invalid_client"),
        "POLICY_SCOPE_DENIED": (400, "invalid_scope"),
        "CAPABILITY_ESCALATION": (400, "invalid_scope"),
        "INVALID_SCOPE": (400, "invalid_scope"),
        "INVALID_TARGET": (400, "invalid_target"),
        "INVALID_GRANT": (400, "invalid_grant"),
        "DELEGATION_DEPTH_EXCEEDED": (400, "invalid_grant"),
        "CONSTRAINT_ESCALATION": (400, "invalid_grant"),
        "UNSUPPORTED_GRANT_TYPE": (400, "unsupported_grant_type"),
        "INVALID_DPOP_PROOF": (400, "invalid_dpop_proof"),
        "USE_DPOP_NONCE": (400, "use_dpop_nonce"),
        "RATE_LIMITED": (429, "slow_down"),
    }
)
_BY_STATUS: Final[Mapping[int, str]] = MappingProxyType(
    {401: "invalid_client", 403: "access_denied", 500: "server_error", 503: "temporarily_unavailable"}
)


@attrs.frozen(kw_only=True)
class OculusFailure:
    """Why a request was refused."""

    #: Stable, for programs. Example: "AUTH_INVALID_CREDENTIALS"
    code: str
    #: For people. Example: "unknown agent or wrong secret"
    message: str
    #: The request's id behind `req_`. Example: "req_72c03e54-1d1c-4d06-9e19-0f607e817820"
    request_id: str
    #: Facts that go with the code; absent when there are none.
    details: dict[str, object] | None = None


@attrs.frozen(kw_only=True)
class OculusError:
    """A refusal."""

    #: What went wrong.
    error: OculusFailure


@attrs.frozen(kw_only=True)
class OAuthError:
    """A refusal as RFC 6749 §5.2 has it."""

    #: Stable, for programs. Example: "invalid_client"
    error: str
    #: For people. Example: "unknown client or wrong secret"
    error_description: str


class Oculus:
    """``{"error": {"code", "message", "request_id"}}``. Implements ``ragwork_hooks.http.Dialect``."""

    @property
    def media_type(self) -> str:
        return "application/json"

    @property
    def failure_type(self) -> type:
        return OculusError

    @property
    def body_types(self) -> tuple[str, ...]:
        return ("application/json",)

    def failure(self, problem: Problem, request_id: str) -> tuple[int, object]:
        status, code = _OCULUS_CODES.get(problem.code, (problem.status, problem.code))
        error: dict[str, object] = {
            "code": code,
            "message": problem.message,
            "request_id": f"req_{request_id}",
        }
        if problem.details:
            error["details"] = dict(problem.details)
        return status, {"error": error}


class Rfc6749:
    """``{"error", "error_description"}``. Implements ``ragwork_hooks.http.Dialect``."""

    @property
    def media_type(self) -> str:
        return "application/json"

    @property
    def failure_type(self) -> type:
        return OAuthError

    @property
    def body_types(self) -> tuple[str, ...]:
        return ("application/json",)

    def failure(self, problem: Problem, request_id: str) -> tuple[int, object]:
        fallback = (problem.status, _BY_STATUS.get(problem.status, "invalid_request"))
        if problem.status in (404, 405, 413, 415, 422):
            fallback = (400, "invalid_request")
        status, code = _RFC_CODES.get(problem.code, fallback)
        return status, {"error": code, "error_description": _described(problem)}


OCULUS: Final = Oculus()
#: How a client may authenticate beside the fields of its form (RFC 6749 §2.3.1).
CLIENT_BASIC: Final = Scheme(
    name="ClientBasic",
    fields={"type": "http", "scheme": "basic", "description": "An agent's `client_id` and `client_secret`."},
)


def _described(problem: Problem) -> str:
    """RFC 6749 §5.2 allows printable ASCII without quotes and backslashes."""
    text = problem.message
    rows = problem.details.get("errors")
    if isinstance(rows, list) and rows and isinstance(rows[0], dict):
        text = f"{'.'.join(map(str, rows[0].get('loc', [])))}: {rows[0].get('msg')}"
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "'" for c in text)[:500]
