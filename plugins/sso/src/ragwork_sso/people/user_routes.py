"""The admin API of people: who is there, roles, switching off, linking."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import attrs
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Directory, Provisioned, Provisioning, Role, User
from ragwork_hooks.authz import Action
from ragwork_hooks.errors import Problem, not_found
from ragwork_hooks.fields import number, text
from ragwork_hooks.http import AnyRoute, Empty, Request, Response
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.paging import PageQuery
from ragwork_toolkit.routes import read_route, write_route

from ragwork_sso.feature_check import Entitled
from ragwork_sso.people import account_store
from ragwork_sso.people.account_store import LinkedAccount
from ragwork_sso.providers.provider_store import ProviderStore

_USERS: Final = "/v1/admin/identity/users"
_READ: Final = Action(name="identity_user.read", role=Role.ADMIN)
_WRITE: Final = Action(name="identity_user.write", role=Role.ADMIN, makes_credential=True)


@attrs.frozen(kw_only=True)
class UsersQuery(PageQuery):
    """A window of the list."""

    #: How many entries to skip.
    offset: int = number(default=0, ge=0, le=20_000)


@attrs.frozen(kw_only=True)
class TenantUserRolePatch:
    """Another role."""

    #: reader, editor or admin. Example: "editor"
    role: str = text(min_length=1, max_length=32)


@attrs.frozen(kw_only=True)
class TenantUserLinkRequest:
    """An account at a provider that is to be this person."""

    #: The identity provider. Example: "7c2a1d34-9b0e-4b6f-8a57-2d4e6f8a1b3c"
    provider_id: str = text(min_length=1, max_length=64)
    #: What the provider calls them, its claim `sub`. Example: "00u1abcd"
    subject: str = text(min_length=1, max_length=255)


@attrs.frozen(kw_only=True)
class TenantUserResponse:
    """A person of the tenant."""

    #: The person. Example: "0d9c8b7a-6f5e-4d3c-8b2a-1f0e9d8c7b6a"
    id: str
    #: The tenant. Example: "t1"
    tenant_id: str
    #: What the identity provider calls them. Example: "00u1abcd"
    external_subject: str
    #: Their address. Example: "ada@example.com"
    email: str | None
    #: What people call them. Example: "Ada"
    display_name: str | None
    #: `active` or `disabled`. Example: "active"
    status: str
    #: reader, editor or admin. Example: "reader"
    role: str
    #: When they last logged in; null if never.
    last_login_at: datetime | None
    #: When it was made.
    created_at: datetime
    #: When it last changed.
    updated_at: datetime


@attrs.frozen(kw_only=True)
class TenantUserList:
    """People of the tenant."""

    #: The people.
    items: list[TenantUserResponse]
    #: Where the next page begins; null on the last. Example: 50
    next_offset: int | None


@attrs.frozen(kw_only=True)
class TenantUserActionResponse:
    """A person as they now stand."""

    #: The person. Example: "0d9c8b7a-6f5e-4d3c-8b2a-1f0e9d8c7b6a"
    id: str
    #: `active` or `disabled`. Example: "active"
    status: str
    #: reader, editor or admin. Example: "editor"
    role: str


class UserApi:
    """Handlers and declarations of ``/v1/admin/identity/users``."""

    def __init__(
        self,
        *,
        directory: Directory,
        provisioning: Provisioning | None,
        providers: ProviderStore,
        entitled: Entitled,
    ) -> None:
        self._directory = directory
        self._provisioning = provisioning
        self._providers = providers
        self._entitled = entitled

    def routes(self) -> tuple[AnyRoute, ...]:
        one = f"{_USERS}/{{user_id}}"
        action, feature = TenantUserActionResponse, self._entitled.feature
        return (
            read_route(
                name="identity.user.list", path=_USERS,
                summary="Who has logged in, was linked or was provisioned", handler=self.list, action=_READ,
                feature=feature, response=TenantUserList, query=UsersQuery, legacy=True,
            ),
            write_route(
                name="identity.user.role", method="PATCH", path=f"{one}/role", summary="Change a role",
                handler=self.set_role, action=_WRITE, audit_event="identity.role.changed", idempotency="none",
                feature=feature, response=action, body=TenantUserRolePatch,
                errors=("AUTH_INVALID_ROLE", "NOT_FOUND"), legacy=True,
            ),
            write_route(
                name="identity.user.disable", method="POST", path=f"{one}/disable",
                summary="Switch a user off: sessions, keys and open streams end", handler=self.disable,
                action=_WRITE, audit_event="identity.user.disabled", idempotency="none", feature=feature,
                response=action, errors=("NOT_FOUND",), legacy=True,
            ),
            write_route(
                name="identity.user.enable", method="POST", path=f"{one}/enable",
                summary="Switch a user on again", handler=self.enable, action=_WRITE,
                audit_event="identity.user.enabled", idempotency="none", feature=feature, response=action,
                errors=("NOT_FOUND",), legacy=True,
            ),
            write_route(
                name="identity.user.link", method="POST", path=f"{one}/links",
                summary="Let a subject of a provider log in as this user", handler=self.link, action=_WRITE,
                audit_event="identity.user.linked", idempotency="none", feature=feature, response=action,
                body=TenantUserLinkRequest, status=201, errors=("AUTH_FORBIDDEN", "NOT_FOUND", "CONFLICT"),
            ),
        )  # fmt: skip

    async def list(self, request: Request[Empty, UsersQuery]) -> TenantUserList:
        limit, offset = request.query.limit, request.query.offset
        ids = await self._first(request.tx, offset + limit + 1)
        shown = ids[offset : offset + limit]
        users = await self._directory.users(request.tx, shown)
        logins = await account_store.of_users(request.tx, shown)
        managed = await self._provisioning.described(request.tx, shown) if self._provisioning else {}
        return TenantUserList(
            items=[
                _person(users[each], logins.get(each), managed.get(each)) for each in shown if each in users
            ],
            next_offset=offset + limit if len(ids) > offset + limit else None,
        )

    async def _first(self, tx: Transaction, count: int) -> Sequence[str]:
        """Ids of those who have logged in, were linked or provisioned, oldest first."""
        found = [*await account_store.first(tx, count)]
        if self._provisioning is not None:
            found += await self._provisioning.first(tx, count)
        return list(dict.fromkeys(user_id for _, user_id in sorted(found)))[:count]

    async def set_role(self, request: Request[TenantUserRolePatch, Empty]) -> Response:
        role = _parsed(request.body.role)
        before = await self._user(request.tx, request.path["user_id"])
        user = await self._directory.set_role(request.tx, before.id, role, by=request.principal.user_id)
        change = {"from": before.role.label, "to": role.label}
        if user.role != role:
            waits = attrs.evolve(_action(user), status="pending_approval")
            return Response(
                status=202, data=waits, audit=_note(user, change, event="identity.role.requested")
            )
        return Response(data=_action(user), changed=before.role != role, audit=_note(user, change))

    async def disable(self, request: Request[Empty, Empty]) -> Response:
        return await self._switch(request, active=False)

    async def enable(self, request: Request[Empty, Empty]) -> Response:
        return await self._switch(request, active=True)

    async def link(self, request: Request[TenantUserLinkRequest, Empty]) -> Response:
        user = await self._user(request.tx, request.path["user_id"])
        if self._directory.dual_control:
            if user.role > Role.READER:
                # Whoever logs in as another admin could approve their own wishes.
                raise Problem(
                    "AUTH_FORBIDDEN", "under dual control only readers are linked; raise the role after"
                )
            # What waits was asked for somebody whom nobody else could be.
            await self._directory.set_role(request.tx, user.id, user.role, by=request.principal.user_id)
        provider = await self._providers.find(request.tx, request.body.provider_id)
        if provider is None:
            raise not_found("provider", request.body.provider_id)
        await account_store.link(request.tx, provider, request.body.subject, user.id)
        return Response(data=_action(user), status=201, audit=_note(user, {"provider_id": provider.id}))

    async def _switch(self, request: Request[Empty, Empty], *, active: bool) -> Response:
        before = await self._user(request.tx, request.path["user_id"])
        user = await self._directory.set_active(request.tx, before.id, active, by=request.principal.user_id)
        return Response(data=_action(user), changed=before.active != active, audit=_note(user, {}))

    async def _user(self, tx: Transaction, user_id: str) -> User:
        user = await self._directory.user(tx, user_id)
        if user is None:
            raise not_found("user", user_id)
        return user


def _parsed(name: str) -> Role:
    try:
        return Role.parse(name)
    except ValueError as error:
        raise Problem("AUTH_INVALID_ROLE", f"role: {error}") from error


def _note(user: User, metadata: Mapping[str, object], *, event: str | None = None) -> AuditDetails:
    return AuditDetails(event=event, resource_type="user", resource_id=user.id, metadata=metadata)


def _status(user: User) -> str:
    return "active" if user.active else "disabled"


def _action(user: User) -> TenantUserActionResponse:
    return TenantUserActionResponse(id=user.id, status=_status(user), role=user.role.label)


def _person(user: User, login: LinkedAccount | None, managed: Provisioned | None) -> TenantUserResponse:
    """A user in the words of who manages them, else of their last login."""
    told = managed or login
    subject = managed.user_name if managed else login.subject if login else user.id
    return TenantUserResponse(
        id=user.id,
        tenant_id=user.tenant_id,
        external_subject=subject,
        email=told.email if told else None,
        display_name=told.display_name if told else None,
        status=_status(user),
        role=user.role.label,
        last_login_at=login.last_login_at if login else None,
        created_at=told.created_at if told else user.created_at,
        updated_at=told.updated_at if told else user.created_at,
    )
