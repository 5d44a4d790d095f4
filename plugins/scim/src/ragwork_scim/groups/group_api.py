"""``/Groups``: what the handlers do."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.http import Empty, Request, Response
from ragwork_hooks.storage import Transaction
from scim2_models import Context

from ragwork_scim.groups import group_store
from ragwork_scim.groups.group_store import StoredGroup
from ragwork_scim.protocol import patches, payloads
from ragwork_scim.protocol.columns import GROUP_COLUMNS
from ragwork_scim.protocol.filters import Condition, ResourceRange
from ragwork_scim.protocol.models import Group
from ragwork_scim.protocol.patches import GroupChange
from ragwork_scim.protocol.projection import AttributeSelection, projected
from ragwork_scim.protocol.queries import Projection
from ragwork_scim.protocol.urls import GROUPS
from ragwork_scim.resource_api import ResourceApi
from ragwork_scim.tenant_lock import acquire

_EVENT = "identity.scim.group.updated"


class GroupsApi(ResourceApi[StoredGroup]):
    """Handlers."""

    model = Group
    columns = GROUP_COLUMNS
    address = GROUPS

    async def create(self, request: Request[dict[str, Any], Projection]) -> Response:
        sent, members = payloads.group_of(request.body, Context.RESOURCE_CREATION_REQUEST)
        added, wanted = patches.member_ids(members), AttributeSelection.of(request.query)
        name = payloads.group_name(sent.display_name)
        await acquire(request.tx)
        group_id = await group_store.insert(request.tx, name, sent.external_id)
        await self._rights.name_group(request.tx, group_id, name)
        joined = await group_store.join(request.tx, group_id, added)
        await self._rights.moved(request.tx, request.principal, group_id, joined, ())
        stored = await _read(request.tx, group_id, wanted)
        return self._reply(stored, wanted, _note(group_id, "created", joined, ()))

    async def replace(self, request: Request[dict[str, Any], Projection]) -> Response:
        sent, members = payloads.group_of(request.body, Context.RESOURCE_REPLACEMENT_REQUEST)
        stored = await self._held(request)
        name = payloads.group_name(sent.display_name)
        change = GroupChange(name, sent.external_id, cleared=True, added=patches.member_ids(members))
        return await self._changed(request, stored, change, "replaced")

    async def patch(self, request: Request[dict[str, Any], Projection]) -> Response:
        stored = await self._held(request)
        change = GroupChange(stored.display_name, stored.external_id)
        for operation in patches.operations(request.body, stored.id):
            change.apply(operation)
        return await self._changed(request, stored, change, "patched")

    async def delete(self, request: Request[Empty, Empty]) -> Response:
        stored = await self._held(request)
        left = await group_store.leave(request.tx, stored.id, (), all_but=())
        await group_store.delete(request.tx, stored.id)
        await self._rights.moved(request.tx, request.principal, stored.id, (), left)
        return Response(status=204, audit=_note(stored.id, "deleted", (), left))

    async def _changed(
        self, request: Request[dict[str, Any], Projection], stored: StoredGroup, change: GroupChange, how: str
    ) -> Response:
        wanted = AttributeSelection.of(request.query)
        tx = request.tx
        renamed = (change.display_name, change.external_id) != (stored.display_name, stored.external_id)
        if renamed:
            await group_store.rename(tx, stored.id, change.display_name, change.external_id)
            await self._rights.name_group(tx, stored.id, change.display_name)
        left: list[str] = []
        if change.cleared or change.removed:
            stay = change.added if change.cleared else None
            left = await group_store.leave(tx, stored.id, change.removed, all_but=stay)
        joined = await group_store.join(tx, stored.id, change.added)
        changed = renamed or bool(joined) or bool(left)
        if changed:
            await group_store.touch(tx, stored.id)
            await self._rights.moved(tx, request.principal, stored.id, joined, left)
        note = _note(stored.id, how, joined, left)
        return self._reply(await _read(tx, stored.id, wanted), wanted, note, changed=changed)

    async def _stored(
        self, request: Request[Any, Any], wanted: AttributeSelection | None = None
    ) -> StoredGroup:
        return await _read(request.tx, request.path["group_id"], wanted)

    async def _count(self, tx: Transaction, where: Condition) -> int:
        return await group_store.count(tx, where)

    async def _page(
        self, tx: Transaction, rows: ResourceRange, wanted: AttributeSelection
    ) -> Sequence[StoredGroup]:
        return await group_store.page(tx, rows, members=wanted.includes("members"))

    def _shown(self, stored: StoredGroup, wanted: AttributeSelection) -> Mapping[str, object]:
        """Members' names are there when they are asked for."""
        return projected(Group, stored.resource(names=not wanted.everything), wanted)


async def _read(tx: Transaction, group_id: str, wanted: AttributeSelection | None) -> StoredGroup:
    return await group_store.get(tx, group_id, members=wanted is not None and wanted.includes("members"))


def _note(group_id: str, operation: str, joined: Collection[str], left: Collection[str]) -> AuditDetails:
    return AuditDetails(
        event=_EVENT,
        resource_type="group",
        resource_id=group_id,
        metadata={"operation": operation, "joined": len(joined), "left": len(left)},
    )
