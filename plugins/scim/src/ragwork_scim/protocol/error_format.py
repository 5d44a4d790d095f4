"""The tongue of SCIM routes: RFC 7644, whatever a client says that it accepts."""

from collections.abc import Mapping
from typing import Final, Literal

import attrs
from ragwork_hooks.errors import Problem

MEDIA_TYPE: Final = "application/scim+json"
ERROR: Final = "urn:ietf:params:scim:api:messages:2.0:Error"
ScimType = Literal[
    "invalidFilter", "invalidPath", "invalidSyntax", "invalidValue", "mutability", "noTarget", "uniqueness"
]
_SCIM_TYPE: Final = "scimType"
#: What the kernel refuses by itself, in the words of RFC 7644 §3.12.
_MALFORMED: Final = frozenset({"SCIM_PAYLOAD_INVALID", "REQUEST_VALIDATION_ERROR"})
_TYPE_OF: Final[Mapping[str, str]] = {"REQUEST_VALIDATION_ERROR": "invalidSyntax"}


@attrs.frozen(kw_only=True)
class ScimError:
    """A refusal as RFC 7644 §3.12 has it."""

    #: The URN of errors. Example: ["urn:ietf:params:scim:api:messages:2.0:Error"]
    schemas: list[str]
    #: The HTTP status as text. Example: "400"
    status: str
    #: For people. Example: "userName is required"
    detail: str
    #: What kind of 400 or 409 it is; absent otherwise. Example: "invalidValue"
    scimType: str | None = None


class ScimDialect:
    """Implements ``ragwork_hooks.http.Dialect``."""

    @property
    def media_type(self) -> str:
        return MEDIA_TYPE

    @property
    def failure_type(self) -> type:
        return ScimError

    @property
    def body_types(self) -> tuple[str, ...]:
        """curl calls every body a form unless told otherwise, and some clients call JSON text."""
        return (MEDIA_TYPE, "application/json", "application/x-www-form-urlencoded", "text/plain")

    def failure(self, problem: Problem, request_id: str) -> tuple[int, object]:
        """RFC 7644 §3.12: the status also as text; what does not fit a schema is 400 there."""
        status = 400 if problem.code in _MALFORMED else problem.status
        scim_type = problem.details.get(_SCIM_TYPE) or _TYPE_OF.get(problem.code)
        body: dict[str, object] = {"schemas": [ERROR], "status": str(status), "detail": _detail(problem)}
        return status, body | ({_SCIM_TYPE: scim_type} if scim_type else {})


#: Stateless, so one serves all routes.
DIALECT: Final = ScimDialect()


def payload_invalid(scim_type: ScimType, message: str) -> Problem:
    """A body that can't be taken: 422 ``SCIM_PAYLOAD_INVALID``, in SCIM's own tongue 400."""
    return Problem("SCIM_PAYLOAD_INVALID", message, status=422, details={_SCIM_TYPE: scim_type})


def wrong_schema(urn: str) -> Problem:
    """A message that does not say it is one of ``urn``: 422, as the contract has it for PATCH."""
    return Problem("VALIDATION_ERROR", f"schemas must name {urn}", details={_SCIM_TYPE: "invalidSyntax"})


def query_invalid(scim_type: ScimType, message: str) -> Problem:
    """A filter, path or sort order that can't be taken: 400."""
    return Problem("BAD_REQUEST", message, details={_SCIM_TYPE: scim_type})


def taken(message: str) -> Problem:
    """409: the value belongs to another resource."""
    return Problem("CONFLICT", message, details={_SCIM_TYPE: "uniqueness"})


def _detail(problem: Problem) -> str:
    """The message, for a body of the wrong form with the place of the first fault."""
    rows = problem.details.get("errors")
    if isinstance(rows, list) and rows and isinstance(rows[0], dict):
        place = ".".join(str(part) for part in rows[0].get("loc", ()))
        return f"{place}: {rows[0].get('msg')}"
    return problem.message
