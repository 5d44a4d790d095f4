"""A tenant's own API keys. Only the answer that makes a key holds its text, and only the first time."""

from datetime import datetime
from typing import Final

import attrs
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import ApiKey, ApiKeys, Role
from ragwork_hooks.authz import Action
from ragwork_hooks.fields import choice, number, text
from ragwork_hooks.http import AnyRoute, Empty, Request, Response
from ragwork_toolkit.paging import PageQuery
from ragwork_toolkit.routes import read_route, write_route
from ragwork_toolkit.rows import from_object

#: Days without use after which the report names a key, unless the caller asks otherwise.
INACTIVE_DAYS: Final = 90

CREATE: Final = Action(name="api_key.create", role=Role.ADMIN, makes_credential=True)
LIST: Final = Action(name="api_key.list", role=Role.ADMIN)
REVOKE: Final = Action(name="api_key.revoke", role=Role.ADMIN)


@attrs.frozen(kw_only=True)
class ApiKeyCreateRequest:
    """A new API key."""

    #: What to call it. Example: "ci-bot"
    name: str | None = text(default=None, max_length=128)
    #: What it may do at most. Example: "editor"
    role: str = choice("reader", "editor", "admin")
    #: When it ends; null for never. Example: 90
    expires_in_days: int | None = number(default=None, ge=1, le=3650)


@attrs.frozen(kw_only=True)
class ApiKeySummary:
    """What every answer says of an API key."""

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


@attrs.frozen(kw_only=True)
class ApiKeyResponse(ApiKeySummary):
    """An API key without its secret."""

    #: When it was revoked; null if it was not. Example: null
    revoked_at: datetime | None
    #: Whether it can be used now. Example: true
    is_active: bool


@attrs.frozen(kw_only=True)
class ApiKeyCreateResponse(ApiKeyResponse):
    """``api_key`` is the key's text; null in the answer to a repeated request, which has no secret to show."""

    #: The key's text, shown once. Example: "nrgk_3f9a1c2_…"
    api_key: str | None


@attrs.frozen(kw_only=True)
class ApiKeyListResponse:
    """Keys, newest first."""

    #: The keys.
    items: list[ApiKeyResponse]


@attrs.frozen(kw_only=True)
class InactiveQuery(PageQuery):
    """What counts as inactive."""

    #: From how many days without use; 90 if absent.
    inactive_days: int | None = number(default=None, ge=1, le=3650)


@attrs.frozen(kw_only=True)
class ApiKeyInactiveItem(ApiKeySummary):
    """A key that expired or that nobody uses."""

    #: Whole days since it was last used, else since it was made. Example: 120
    inactive_days: int
    #: Whether its time has passed. Example: false
    is_expired: bool


@attrs.frozen(kw_only=True)
class ApiKeyInactiveReportResponse:
    """Keys to think about."""

    #: The days without use that were asked about. Example: 90
    inactive_days_threshold: int
    #: The keys.
    items: list[ApiKeyInactiveItem]


class KeysApi:
    """Handlers and declarations of ``/v1/self-serve/api-keys``."""

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    def routes(self) -> tuple[AnyRoute, ...]:
        path = "/v1/self-serve/api-keys"
        return (
            write_route(
                name="selfserve.api_keys.create", method="POST", path=path,
                summary="Make an API key; its text is shown this once", handler=self.create, action=CREATE,
                audit_event="selfserve.api_key.created", idempotency="accepted",
                response=ApiKeyCreateResponse, body=ApiKeyCreateRequest,
                errors=("AUTH_FORBIDDEN", "KEY_LIMIT_REACHED"), legacy=True,
            ),
            read_route(
                name="selfserve.api_keys.list", path=path,
                summary="The tenant's API keys, newest first, without their secrets", handler=self.list,
                action=LIST, audit_event="selfserve.api_key.listed", response=ApiKeyListResponse,
                query=PageQuery, legacy=True,
            ),
            write_route(
                name="selfserve.api_keys.revoke", method="POST", path=f"{path}/{{key_id}}/revoke",
                summary="Revoke an API key for good; again is fine", handler=self.revoke, action=REVOKE,
                audit_event="selfserve.api_key.revoked", idempotency="accepted", response=ApiKeyResponse,
                errors=("NOT_FOUND",), legacy=True,
            ),
            read_route(
                name="selfserve.api_keys.inactive", path=f"{path}/inactive-report",
                summary="Keys that expired or that nobody uses", handler=self.inactive, action=LIST,
                audit_event="selfserve.api_key.inactive_reported", response=ApiKeyInactiveReportResponse,
                query=InactiveQuery, legacy=True,
            ),
        )  # fmt: skip

    async def create(self, request: Request[ApiKeyCreateRequest, Empty]) -> Response:
        body = request.body
        key, secret = await self._keys.create(
            request.tx,
            request.principal,
            name=body.name or None,
            role=Role.parse(body.role),
            expires_in_days=body.expires_in_days,
        )
        shown = ApiKeyCreateResponse(**attrs.asdict(_response(key)), api_key=secret)
        return Response(
            data=shown,
            replay=attrs.evolve(shown, api_key=None),
            audit=_note(key, role=body.role, expires_in_days=body.expires_in_days),
        )

    async def list(self, request: Request[Empty, PageQuery]) -> ApiKeyListResponse:
        keys = (await self._keys.list(request.tx))[request.query.window]
        return ApiKeyListResponse(items=[_response(key) for key in keys])

    async def revoke(self, request: Request[Empty, Empty]) -> Response:
        key, did = await self._keys.revoke(request.tx, request.principal, request.path["key_id"])
        return Response(data=_response(key), changed=did, audit=_note(key))

    async def inactive(self, request: Request[Empty, InactiveQuery]) -> ApiKeyInactiveReportResponse:
        threshold = request.query.inactive_days or INACTIVE_DAYS
        found = [
            key
            for key in await self._keys.list(request.tx)
            if key.revoked_at is None and (key.expired or key.inactive_days >= threshold)
        ]
        return ApiKeyInactiveReportResponse(
            inactive_days_threshold=threshold,
            items=[_inactive(key) for key in found[request.query.window]],
        )


def _response(key: ApiKey) -> ApiKeyResponse:
    return from_object(ApiKeyResponse, key, **_renamed(key), is_active=key.active)


def _inactive(key: ApiKey) -> ApiKeyInactiveItem:
    return from_object(ApiKeyInactiveItem, key, **_renamed(key), is_expired=key.expired)


def _renamed(key: ApiKey) -> dict[str, object]:
    """What ``ApiKeySummary`` calls otherwise."""
    return {"key_id": key.id, "key_prefix": key.prefix, "role": key.role.label}


def _note(key: ApiKey, **metadata: object) -> AuditDetails:
    return AuditDetails(resource_type="api_key", resource_id=key.id, metadata=metadata)
