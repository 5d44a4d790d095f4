"""The admin API of dual control: what waits for a second admin, and their word on it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import attrs
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Role, User
from ragwork_hooks.authz import Action
from ragwork_hooks.http import AnyRoute, Empty, Page, Request, Response
from ragwork_toolkit.paging import PageQuery, page_of
from ragwork_toolkit.routes import read_route, write_route
from ragwork_toolkit.rows import from_object

from ragwork_directory import role_requests
from ragwork_directory.role_requests import USER, RoleRequest
from ragwork_directory.users import PostgresDirectory

_READ: Final = Action(name="identity_user.read", role=Role.ADMIN)
_WRITE: Final = Action(name="identity_user.write", role=Role.ADMIN, makes_credential=True)
_REQUESTS: Final = "/v1/admin/identity/role-requests"


@attrs.frozen(kw_only=True)
class RoleRequestResponse:
    """``user_id`` is there when the subject is a user; else it is what gives ``role`` to users."""

    #: The request. Example: "6Dx8v9hK35fHeOTw"
    id: str
    #: What it is about: ``user``, ``scim_group`` or ``identity_provider``. Example: "user"
    subject_type: str
    #: Which one. Example: "0d9c8b7a-6f5e-4d3c-8b2a-1f0e9d8c7b6a"
    subject_id: str
    #: The person, when it is about one. Example: "0d9c8b7a-6f5e-4d3c-8b2a-1f0e9d8c7b6a"
    user_id: str | None
    #: The role that would be had or given. Example: "admin"
    role: str
    #: Who asked: a user, or a machine's name. Example: "grace"
    requested_by: str
    #: When it was made.
    created_at: datetime


@attrs.frozen(kw_only=True)
class RoleRequestDecision:
    """The subject and its role of now; ``status`` is the user's (``active``, ``disabled``) once the role is theirs,
    else ``pending_approval`` or ``rejected``.
    """

    #: The subject. Example: "0d9c8b7a-6f5e-4d3c-8b2a-1f0e9d8c7b6a"
    id: str
    #: ``active``, ``disabled``, ``pending_approval`` or ``rejected``. Example: "active"
    status: str
    #: The role of now. Example: "admin"
    role: str


class RoleRequestApi:
    """Handlers and declarations of ``/v1/admin/identity/role-requests``."""

    def __init__(self, directory: PostgresDirectory) -> None:
        self._directory = directory

    def routes(self) -> tuple[AnyRoute, ...]:
        one = f"{_REQUESTS}/{{request_id}}"
        return (
            read_route(
                name="approvals.list", path=_REQUESTS, summary="What waits for a second admin", handler=self.list,
                action=_READ, response=Page[RoleRequestResponse], query=PageQuery,
            ),
            write_route(
                name="approvals.approve", method="POST", path=f"{one}/approve",
                summary="Approve what another admin wants", handler=self.approve, action=_WRITE,
                audit_event="identity.role.changed", idempotency="none", response=RoleRequestDecision,
                errors=("AUTH_FORBIDDEN", "NOT_FOUND", "CONFLICT"),
            ),
            write_route(
                name="approvals.reject", method="POST", path=f"{one}/reject", summary="Drop a request",
                handler=self.reject, action=_WRITE, audit_event="identity.role.rejected", idempotency="none",
                response=RoleRequestDecision, errors=("NOT_FOUND",),
            ),
        )  # fmt: skip

    async def list(self, request: Request[Empty, PageQuery]) -> Page[RoleRequestResponse]:
        query = request.query
        found = await role_requests.page(request.tx, query.limit + 1, query.offset)
        return page_of([_shown(each) for each in found], query)

    async def approve(self, request: Request[Empty, Empty]) -> Response:
        request_id, by = request.path["request_id"], request.principal.user_id
        user, role_request = await self._directory.approve(request.tx, request_id, by)
        asked_by = {"requested_by": role_request.requested_by, "request_id": role_request.id}
        metadata = {"to": role_request.role.label, **asked_by}
        if user.role == role_request.role:
            status = "active" if user.active else "disabled"
            return Response(data=_decision(user, status), audit=_note(role_request, None, metadata))
        note = _note(role_request, "identity.role.requested", metadata)
        return Response(data=_decision(user, "pending_approval"), status=202, audit=note)

    async def reject(self, request: Request[Empty, Empty]) -> Response:
        role_request = await role_requests.locked(request.tx, request.path["request_id"])
        await role_requests.drop(request.tx, (role_request.subject_type, role_request.subject_id))
        decided = RoleRequestDecision(
            id=role_request.subject_id, status="rejected", role=role_request.role.label
        )
        return Response(data=decided, audit=_note(role_request, None, {"role": role_request.role.label}))


def _shown(request: RoleRequest) -> RoleRequestResponse:
    user_id = request.subject_id if request.subject_type == USER else None
    return from_object(RoleRequestResponse, request, user_id=user_id, role=request.role.label)


def _decision(user: User, status: str) -> RoleRequestDecision:
    return RoleRequestDecision(id=user.id, status=status, role=user.role.label)


def _note(request: RoleRequest, event: str | None, metadata: Mapping[str, object]) -> AuditDetails:
    return AuditDetails(
        event=event, resource_type=request.subject_type, resource_id=request.subject_id, metadata=metadata
    )
