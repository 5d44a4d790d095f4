"""The admin API of SCIM: tokens, and the roles that groups are bound to. No client of SCIM reaches it."""

from datetime import datetime, timedelta
from typing import Any, Final

import attrs
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Role, may_make_credential
from ragwork_hooks.authz import Action
from ragwork_hooks.fields import choice, number, text
from ragwork_hooks.http import AnyRoute, Empty, Page, Request, Response
from ragwork_toolkit.paging import PageQuery, page_of
from ragwork_toolkit.routes import read_route, write_route

from ragwork_scim.directory_sync import DirectorySync
from ragwork_scim.gates import FEATURE
from ragwork_scim.groups import role_bindings
from ragwork_scim.groups.role_bindings import GroupBinding
from ragwork_scim.tokens.token_format import SCIM
from ragwork_scim.tokens.token_store import MintedToken, ScimTokenStore

_BASE: Final = "/v1/admin/identity/scim"
_CREATED: Final = "identity.scim.token.created"
_REVOKED: Final = "identity.scim.token.revoked"
# Not `scim.…`: a SCIM token must not reach its own administration.
_MANAGE_TOKENS: Final = Action(name="scim_token.manage", role=Role.ADMIN)
_MAKE_TOKENS: Final = attrs.evolve(_MANAGE_TOKENS, makes_credential=True)
_MANAGE_GROUPS: Final = Action(name="scim_group.manage", role=Role.ADMIN)
_BIND_GROUPS: Final = attrs.evolve(_MANAGE_GROUPS, makes_credential=True)


@attrs.frozen(kw_only=True)
class ScimTokenCreateResponse:
    """A new token."""

    #: The token's id, which is no secret. Example: "s_3f9a"
    token_id: str
    #: How its text begins. Example: "nrgscim_3f9a"
    token_prefix: str
    #: Its text, shown once. Example: "nrgscim_3f9a_…"
    token: str
    #: When it ends.
    expires_at: datetime


@attrs.frozen(kw_only=True)
class ScimTokenRotateRequest:
    """The old token goes on for ``overlap_hours``, so that the identity provider can be told the new one."""

    #: The old token. Example: "s_3f9a"
    token_id: str = text(min_length=1, max_length=64)
    #: Hours for which the old one still works. Example: 24
    overlap_hours: int = number(default=24, ge=0, le=720)


@attrs.frozen(kw_only=True)
class ScimTokenRotateResponse(ScimTokenCreateResponse):
    """A new token, and the end of the old one."""

    #: When the old one ends.
    old_expires_at: datetime


@attrs.frozen(kw_only=True)
class ScimTokenRevokeRequest:
    """The token to end."""

    #: The token. Example: "s_3f9a"
    token_id: str = text(min_length=1, max_length=64)


@attrs.frozen(kw_only=True)
class ScimTokenRevokeResponse:
    """That a token is ended."""

    #: The token. Example: "s_3f9a"
    token_id: str
    #: Always true.
    revoked: bool
    #: Since when.
    revoked_at: datetime


@attrs.frozen(kw_only=True)
class ScimTokenResponse:
    """A token without its secret."""

    #: The token's id, which is no secret. Example: "s_3f9a"
    token_id: str
    #: How its text begins. Example: "nrgscim_3f9a"
    token_prefix: str
    #: When it was made.
    created_at: datetime
    #: When it was last used; null if never.
    last_used_at: datetime | None
    #: When it ends.
    expires_at: datetime
    #: When it was revoked; null if it was not. Example: null
    revoked_at: datetime | None


@attrs.frozen(kw_only=True)
class ScimTokenList:
    """Tokens, newest first."""

    #: The tokens.
    items: list[ScimTokenResponse]


@attrs.frozen(kw_only=True)
class GroupBindingRequest:
    """``role_binding`` is the role of every member; ``null`` takes it away."""

    #: The role; null for none. Example: "editor"
    role_binding: str | None = choice("reader", "editor", "admin")


class ScimAdminApi:
    """Handlers and declarations of ``/v1/admin/identity/scim``."""

    def __init__(self, store: ScimTokenStore, rights: DirectorySync) -> None:
        self._store = store
        self._rights = rights

    def routes(self) -> tuple[AnyRoute, ...]:
        return (
            write_route(
                name="provisioning.tokens.create", method="POST", path=f"{_BASE}/token/create",
                summary="Make a SCIM token; it is shown this once", handler=self.create, action=_MAKE_TOKENS,
                audit_event=_CREATED, idempotency="none", feature=FEATURE, status=201,
                response=ScimTokenCreateResponse, errors=("FEATURE_NOT_ENABLED",), legacy=True,
            ),
            write_route(
                name="provisioning.tokens.rotate", method="POST", path=f"{_BASE}/token/rotate",
                summary="Replace a SCIM token; the old one goes on for a while", handler=self.rotate,
                action=_MAKE_TOKENS, audit_event=_CREATED, idempotency="none", feature=FEATURE, status=201,
                response=ScimTokenRotateResponse, body=ScimTokenRotateRequest,
                errors=("FEATURE_NOT_ENABLED", "NOT_FOUND", "CONFLICT"),
            ),
            write_route(
                name="provisioning.tokens.revoke", method="POST", path=f"{_BASE}/token/revoke",
                summary="Revoke a SCIM token for good, everywhere within a second", handler=self.revoke,
                action=_MANAGE_TOKENS, audit_event=_REVOKED, idempotency="none", feature=FEATURE,
                response=ScimTokenRevokeResponse, body=ScimTokenRevokeRequest,
                errors=("FEATURE_NOT_ENABLED", "NOT_FOUND"), legacy=True,
            ),
            read_route(
                name="provisioning.tokens.list", path=f"{_BASE}/tokens",
                summary="SCIM tokens without their secrets, newest first", handler=self.list,
                action=_MANAGE_TOKENS, feature=FEATURE, response=ScimTokenList, query=PageQuery,
                errors=("FEATURE_NOT_ENABLED",),
            ),
            read_route(
                name="provisioning.groups.list", path=f"{_BASE}/groups",
                summary="Provisioned groups and the roles they are bound to", handler=self.groups,
                action=_MANAGE_GROUPS, feature=FEATURE, response=Page[GroupBinding], query=PageQuery,
                errors=("FEATURE_NOT_ENABLED",),
            ),
            write_route(
                name="provisioning.groups.bind", method="PATCH", path=f"{_BASE}/groups/{{group_id}}",
                summary="Bind a provisioned group to a role", handler=self.bind, action=_BIND_GROUPS,
                audit_event="identity.scim.group.updated", idempotency="none", feature=FEATURE,
                response=GroupBinding, body=GroupBindingRequest, errors=("FEATURE_NOT_ENABLED", "NOT_FOUND"),
            ),
        )  # fmt: skip

    async def create(self, request: Request[Empty, Empty]) -> Response:
        ends_by = may_make_credential(request.principal)
        minted = await self._store.create(request.tx, request.principal.user_id, ends_by)
        made = ScimTokenCreateResponse(**_shown(minted))
        return Response(data=made, status=201, audit=_note(minted.id))

    async def rotate(self, request: Request[ScimTokenRotateRequest, Empty]) -> Response:
        overlap = timedelta(hours=request.body.overlap_hours)
        by, ends_by = request.principal.user_id, may_make_credential(request.principal)
        minted = await self._store.rotate(request.tx, request.body.token_id, by, overlap, ends_by)
        assert minted.old_expires_at is not None  # a rotation says when the old token ends
        made = ScimTokenRotateResponse(**_shown(minted), old_expires_at=minted.old_expires_at)
        note = _note(minted.id, replaces=request.body.token_id)
        return Response(data=made, status=201, audit=note)

    async def revoke(self, request: Request[ScimTokenRevokeRequest, Empty]) -> Response:
        token_id = request.body.token_id
        at, now = await self._store.revoke(request.tx, token_id)
        ended = ScimTokenRevokeResponse(token_id=token_id, revoked=True, revoked_at=at)
        return Response(data=ended, changed=now, audit=_note(token_id))

    async def list(self, request: Request[Empty, PageQuery]) -> ScimTokenList:
        rows = await self._store.page(request.tx, limit=request.query.limit, offset=request.query.offset)
        return ScimTokenList(
            items=[
                ScimTokenResponse(
                    token_id=row["id"],
                    token_prefix=SCIM.shown(row["id"]),
                    created_at=row["created_at"],
                    last_used_at=row["last_used_at"],
                    expires_at=row["expires_at"],
                    revoked_at=row["revoked_at"],
                )
                for row in rows
            ]
        )

    async def groups(self, request: Request[Empty, PageQuery]) -> Page[GroupBinding]:
        query = request.query
        return page_of(await role_bindings.page(request.tx, query.limit + 1, query.offset), query)

    async def bind(self, request: Request[GroupBindingRequest, Empty]) -> Response:
        group = await role_bindings.locked(request.tx, request.path["group_id"])
        wanted = request.body.role_binding
        metadata: dict[str, object] = {"operation": "bound", "from": group.role_binding, "to": wanted}
        note = AuditDetails(resource_type="group", resource_id=group.id, metadata=metadata)
        if not await self._agreed(request, group, wanted):
            asked = attrs.evolve(note, event="identity.scim.group.requested")
            return Response(data=group, status=202, audit=asked)
        bound = await role_bindings.bind(request.tx, group, wanted)
        members = await role_bindings.members(request.tx, group.id)
        await self._rights.recompute(request.tx, request.principal, members)
        return Response(data=bound, changed=group.role_binding != wanted, audit=note)

    async def _agreed(
        self, request: Request[GroupBindingRequest, Empty], group: GroupBinding, wanted: str | None
    ) -> bool:
        """Giving more needs two admins where the operator says so; giving less never does."""
        old, new = (
            Role.READER if name is None else Role.parse(name) for name in (group.role_binding, wanted)
        )
        return new <= old or await self._rights.may_bind(request.tx, request.principal, group.id, new)


def _shown(minted: MintedToken) -> dict[str, Any]:
    return {
        "token_id": minted.id,
        "token_prefix": SCIM.shown(minted.id),
        "token": minted.token,
        "expires_at": minted.expires_at,
    }


def _note(token_id: str, **metadata: object) -> AuditDetails:
    return AuditDetails(resource_type="scim_token", resource_id=token_id, metadata=metadata)
