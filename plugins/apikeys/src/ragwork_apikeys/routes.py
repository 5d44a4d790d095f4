"""The admin API of keys: list and patch. No answer holds anything secret."""

from datetime import datetime

import attrs
from ragwork_hooks.auth import ApiKey, Directory, Role, may_make_credential
from ragwork_hooks.authz import Action
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import identifier, number, text
from ragwork_hooks.http import AnyRoute, Empty, Request, Response
from ragwork_hooks.services import Services
from ragwork_toolkit.paging import PageQuery
from ragwork_toolkit.patching import changes
from ragwork_toolkit.routes import untransacted_route, write_route
from ragwork_toolkit.rows import from_object

from ragwork_apikeys import events
from ragwork_apikeys.self_service_keys import SelfServiceKeys, api_key
from ragwork_apikeys.store import KeyChange, KeyStore, KeyView


@attrs.frozen(kw_only=True)
class ApiKeyListQuery(PageQuery):
    """Which keys to list."""

    #: Your tenant, or with platform scope any.
    tenant_id: str | None = identifier(default=None)
    #: From how many days without use a key counts as inactive.
    inactive_days: int = number(default=90, ge=1, le=3650)
    #: Whether to leave out keys that are in use.
    include_only_inactive: bool = False
    #: How many entries at most.
    limit: int = number(default=200, ge=1, le=500)


@attrs.frozen(kw_only=True)
class AdminApiKeyPatchRequest:
    """What to change of a key; what is absent or null stays."""

    #: When it is to end. Example: "2027-01-01T00:00:00+00:00"
    expires_at: datetime | None = None
    #: false stops it; true starts it again and counts its use from now.
    active: bool | None = None
    #: true ends it for good.
    revoke: bool | None = None
    #: What to call it. Example: "ci-bot"
    name: str | None = text(default=None, min_length=1, max_length=120)


@attrs.frozen(kw_only=True)
class AdminApiKeyResponse:
    """An API key without its secret."""

    #: The key's id, which is no secret. Example: "k_3f9a"
    key_id: str
    #: How its text begins, to tell keys apart. Example: "nrgk_3f9a1c2"
    key_prefix: str
    #: What its maker called it. Example: "ci-bot"
    name: str | None
    #: What it may do at most: reader, editor or admin. Example: "editor"
    role: str
    #: When it was made.
    created_at: datetime
    #: When it was last used; null if never.
    last_used_at: datetime | None
    #: When it ends; null if never.
    expires_at: datetime | None
    #: When it was revoked; null if it was not.
    revoked_at: datetime | None
    #: Whether it can be used now. Example: true
    is_active: bool
    #: Whether its time has passed. Example: false
    is_expired: bool
    #: Whole days since it was last used, else since it was made. Example: 3
    inactive_days: int


@attrs.frozen(kw_only=True)
class AdminApiKeyListResponse:
    """Keys, newest first."""

    #: The tenant. Example: "t1"
    tenant_id: str
    #: The days without use that were asked about. Example: 90
    inactive_days_threshold: int
    #: The keys.
    items: list[AdminApiKeyResponse]


class ApiKeyAdminApi:
    """Handlers and declarations of ``/v1/admin/api-keys``."""

    def __init__(
        self, services: Services, store: KeyStore, directory: Directory, capped: SelfServiceKeys
    ) -> None:
        self._services = services
        self._store = store
        self._directory = directory
        self._capped = capped

    def routes(self) -> tuple[AnyRoute, ...]:
        return (
            # The tenant depends on the query, so the handler opens the transaction.
            untransacted_route(
                name="api_keys.list",
                method="GET",
                path="/v1/admin/api-keys",
                summary="List API keys, newest first, without their secrets",
                handler=self.list,
                action=Action(name="api_key.list", role=Role.ADMIN),
                rate_class="read",
                audit_event=None,
                response=AdminApiKeyListResponse,
                query=ApiKeyListQuery,
                errors=("AUTH_FORBIDDEN",),
                legacy=True,
            ),
            write_route(
                name="api_keys.patch",
                method="PATCH",
                path="/v1/admin/api-keys/{key_id}",
                summary="Rename, expire, switch off and on, or revoke an API key",
                handler=self.patch,
                action=Action(name="api_key.update", role=Role.ADMIN, makes_credential=True),
                audit_event="auth.api_key.updated",
                idempotency="none",
                response=AdminApiKeyResponse,
                body=AdminApiKeyPatchRequest,
                errors=("AUTH_FORBIDDEN", "NOT_FOUND", "KEY_LIMIT_REACHED", "VALIDATION_ERROR"),
                legacy=True,
            ),
        )

    async def list(self, request: Request[Empty, ApiKeyListQuery]) -> AdminApiKeyListResponse:
        own, query = request.principal.tenant_id, request.query
        tenant_id = query.tenant_id or own
        if tenant_id != own and not request.principal.platform:
            raise Problem("AUTH_FORBIDDEN", "keys of another tenant need platform scope")
        async with self._services.db.tenant(tenant_id, "read") as tx:
            keys = await self._store.page(
                tx,
                only_inactive=query.include_only_inactive,
                inactive_days=query.inactive_days,
                limit=query.limit,
                offset=query.offset,
            )
            users = await self._directory.users(tx, {key.user_id for key in keys})
        return AdminApiKeyListResponse(
            tenant_id=tenant_id,
            inactive_days_threshold=query.inactive_days,
            items=[_response(api_key(key, users.get(key.user_id))) for key in keys],
        )

    async def patch(self, request: Request[AdminApiKeyPatchRequest, Empty]) -> Response:
        change = _change(request.body)
        key = await self._store.locked(request.tx, request.path["key_id"])
        widens = change.active or change.expires_at is not None or change.name is not None
        if key.platform and widens and not request.principal.platform:
            raise Problem(
                "AUTH_FORBIDDEN", "without platform scope a platform key can only be switched off or revoked"
            )
        ends_by = may_make_credential(request.principal)
        if ends_by is not None and change.expires_at is not None and change.expires_at > ends_by:
            raise Problem("AUTH_FORBIDDEN", f"expires_at: your own key ends at {ends_by.isoformat()}")
        if change.active and key.revoked_at is not None:
            raise Problem("VALIDATION_ERROR", "active: a revoked key stays revoked; make a new one")
        changed = await self._store.change(request.tx, key.id, change)
        if changed.usable and not key.usable:
            await self._capped.check_room(request.tx, added=1)
        user = await self._directory.user(request.tx, changed.user_id)
        did = attrs.evolve(changed, read_at=key.read_at) != key
        return Response(
            data=_response(api_key(changed, user)),
            changed=did,
            audit=attrs.evolve(events.of(key.id), event=_event(change, key)),
        )


def _change(body: AdminApiKeyPatchRequest) -> KeyChange:
    if body.active and body.revoke:
        raise Problem("VALIDATION_ERROR", "active and revoke exclude each other")
    if body.expires_at is not None and body.expires_at.tzinfo is None:
        raise Problem("VALIDATION_ERROR", "expires_at needs an offset, such as +00:00")
    return KeyChange(**changes(body))


def _event(change: KeyChange, before: KeyView) -> str | None:
    """What the change comes to; ``None`` for what is just an update."""
    if change.revoke:
        return events.REVOKED if before.revoked_at is None else None
    if change.active is None or change.active == (before.disabled_at is None):
        return None
    return "auth.api_key.reactivated" if change.active else "auth.api_key.deactivated"


def _response(key: ApiKey) -> AdminApiKeyResponse:
    return from_object(
        AdminApiKeyResponse,
        key,
        key_id=key.id,
        key_prefix=key.prefix,
        role=key.role.label,
        is_active=key.active,
        is_expired=key.expired,
    )
