"""``/Users``: what the handlers do."""

from collections.abc import Mapping, Sequence
from typing import Any

from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.http import Empty, Request, Response
from ragwork_hooks.storage import Transaction
from scim2_models import Context

from ragwork_scim.protocol import patches, payloads
from ragwork_scim.protocol.columns import USER_COLUMNS
from ragwork_scim.protocol.filters import Condition, ResourceRange
from ragwork_scim.protocol.models import Person
from ragwork_scim.protocol.projection import AttributeSelection, projected
from ragwork_scim.protocol.queries import Projection
from ragwork_scim.protocol.urls import USERS
from ragwork_scim.resource_api import ResourceApi
from ragwork_scim.tenant_lock import acquire
from ragwork_scim.users import user_store
from ragwork_scim.users.user_store import StoredUser

_CREATED, _UPDATED, _DISABLED, _DELETED = (
    f"identity.scim.user.{what}" for what in ("created", "updated", "disabled", "deleted")
)


class UsersApi(ResourceApi[StoredUser]):
    """Handlers."""

    model = Person
    columns = USER_COLUMNS
    address = USERS

    async def create(self, request: Request[dict[str, Any], Projection]) -> Response:
        person = payloads.user_of(request.body, Context.RESOURCE_CREATION_REQUEST)
        wanted = AttributeSelection.of(request.query)
        await acquire(request.tx)
        stored = await user_store.insert(request.tx, person)
        await self._rights.create(request.tx, request.principal, stored.id, stored.active)
        return self._reply(stored, wanted, _note(_CREATED, stored, "created"))

    async def replace(self, request: Request[dict[str, Any], Projection]) -> Response:
        person = payloads.user_of(request.body, Context.RESOURCE_REPLACEMENT_REQUEST)
        stored = await self._held(request)
        if not payloads.says_active(request.body):
            # Whoever is shut out is not let in by an omission.
            person.active = stored.active
        with payloads.refusing():
            person.replace(stored.person())
        return await self._changed(request, stored, person, "replaced")

    async def patch(self, request: Request[dict[str, Any], Projection]) -> Response:
        stored = await self._held(request)
        person = patches.patched_user(stored.person(), request.body)
        return await self._changed(request, stored, person, "patched")

    async def delete(self, request: Request[Empty, Empty]) -> Response:
        stored = await self._held(request)
        await self._rights.end(
            request.tx, request.principal, stored.id, [group["value"] for group in stored.groups]
        )
        await user_store.delete(request.tx, stored.id)
        return Response(status=204, audit=_note(_DELETED, stored, "deleted"))

    async def _changed(
        self, request: Request[dict[str, Any], Projection], stored: StoredUser, person: Person, how: str
    ) -> Response:
        wanted = AttributeSelection.of(request.query)
        now = await user_store.update(request.tx, stored, person)
        await self._rights.set_active(
            request.tx, request.principal, stored.id, was=stored.active, now=now.active
        )
        disabled = stored.active and not now.active
        note = _note(_DISABLED if disabled else _UPDATED, now, how)
        return self._reply(now, wanted, note, changed=now is not stored)

    async def _stored(
        self, request: Request[Any, Any], wanted: AttributeSelection | None = None
    ) -> StoredUser:
        return await user_store.get(request.tx, request.path["user_id"])

    async def _count(self, tx: Transaction, where: Condition) -> int:
        return await user_store.count(tx, where)

    async def _page(
        self, tx: Transaction, rows: ResourceRange, wanted: AttributeSelection
    ) -> Sequence[StoredUser]:
        return await user_store.page(tx, rows)

    def _shown(self, stored: StoredUser, wanted: AttributeSelection) -> Mapping[str, object]:
        return projected(Person, stored.resource(), wanted)


def _note(event: str, stored: StoredUser, operation: str) -> AuditDetails:
    return AuditDetails(
        event=event,
        resource_type="user",
        resource_id=stored.id,
        metadata={"operation": operation, "active": stored.active},
    )
