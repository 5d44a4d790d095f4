"""``/Groups``: what the handlers do."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.http import Empty, File, Request, Response
from scim2_models import Context

from ragwork_scim.config import ScimConfig
from ragwork_scim.directory_sync import DirectorySync
from ragwork_scim.groups import group_store
from ragwork_scim.groups.group_store import StoredGroup
from ragwork_scim.protocol import patches, payloads
from ragwork_scim.protocol.columns import GROUP_COLUMNS
from ragwork_scim.protocol.discovery import listed
from ragwork_scim.protocol.error_format import MEDIA_TYPE
from ragwork_scim.protocol.etags import is_known, require_version
from ragwork_scim.protocol.filters import Condition, condition, order
from ragwork_scim.protocol.models import Group
from ragwork_scim.protocol.patches import GroupChange
from ragwork_scim.protocol.projection import AttributeSelection, projected
from ragwork_scim.protocol.queries import Projection, ResourceListQuery
from ragwork_scim.protocol.search import ResourceSearch, list_query
from ragwork_scim.protocol.urls import GROUPS, etag
from ragwork_scim.tenant_lock import acquire

_EVENT = "identity.scim.group.updated"


class GroupsApi:
    """Handlers. Writes take the tenant's turn first."""

    def __init__(self, config: ScimConfig, rights: DirectorySync) -> None:
        self._config = config
        self._rights = rights

    async def list(self, request: Request[Empty, ResourceListQuery]) -> object:
        return await self._found(request, request.query)

    async def search(self, request: Request[dict[str, Any], Empty]) -> object:
        return await self._found(request, list_query(request.body))

    async def get(self, request: Request[Empty, Projection]) -> Response | File:
        wanted = AttributeSelection.of(request.query)
        stored = await group_store.get(
            request.tx, request.path["group_id"], members=wanted.includes("members")
        )
        tag = {"ETag": etag(stored.version)}
        if is_known(request.headers, stored.version):
            return File(data=b"", mime=MEDIA_TYPE, status=304, headers=tag)
        return Response(data=_shown(stored, wanted), headers=tag)

    async def create(self, request: Request[dict[str, Any], Projection]) -> Response:
        sent, members = payloads.group_of(request.body, Context.RESOURCE_CREATION_REQUEST)
        added, wanted = patches.member_ids(members), AttributeSelection.of(request.query)
        name = payloads.group_name(sent.display_name)
        await acquire(request.tx)
        group_id = await group_store.insert(request.tx, name, sent.external_id)
        await self._rights.name_group(request.tx, group_id, name)
        joined = await group_store.join(request.tx, group_id, added)
        await self._rights.moved(request.tx, request.principal, group_id, joined, ())
        return await self._reply(request, group_id, wanted, _note(group_id, "created", joined, ()))

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

    async def _held(self, request: Request[Any, Any]) -> StoredGroup:
        """The group in the tenant's turn. Raises ``Problem`` 404 and 412."""
        await acquire(request.tx)
        stored = await group_store.get(request.tx, request.path["group_id"], members=False)
        require_version(request.headers, stored.version)
        return stored

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
        return await self._reply(request, stored.id, wanted, note, changed=changed)

    async def _reply(
        self,
        request: Request[Any, Any],
        group_id: str,
        wanted: AttributeSelection,
        note: AuditDetails,
        *,
        changed: bool = True,
    ) -> Response:
        stored = await group_store.get(request.tx, group_id, members=wanted.includes("members"))
        return Response(
            data=_shown(stored, wanted),
            status=201 if note.metadata["operation"] == "created" else 200,
            headers={"ETag": etag(stored.version), "Location": GROUPS + group_id},
            changed=changed,
            audit=note,
        )

    async def _found(self, request: Request[Any, Any], query: ResourceListQuery) -> object:
        search = ResourceSearch.of(query, self._config.default_page_size, self._config.max_page_size)
        where = condition(Group, GROUP_COLUMNS, search.filter)
        total = await group_store.count(request.tx, where)
        resources = await self.section(request, search, where, search.count, search.start - 1)
        return listed(resources, total=total, start=search.start)

    async def section(
        self, request: Request[Any, Any], search: ResourceSearch, where: Condition, limit: int, offset: int
    ) -> Sequence[Mapping[str, object]]:
        """Up to ``limit`` resources that meet ``where``, from ``offset`` on."""
        if limit <= 0:
            return ()
        by = order(Group, GROUP_COLUMNS, search.sort_by, search.descending)
        with_members = search.wanted.includes("members")
        found = await group_store.page(request.tx, where, by, limit, offset, members=with_members)
        return [_shown(group, search.wanted) for group in found]


def _shown(group: StoredGroup, wanted: AttributeSelection) -> Mapping[str, object]:
    """The resource; members' names are there when they are asked for."""
    return projected(Group, group.resource(names=not wanted.everything), wanted)


def _note(group_id: str, operation: str, joined: Collection[str], left: Collection[str]) -> AuditDetails:
    return AuditDetails(
        event=_EVENT,
        resource_type="group",
        resource_id=group_id,
        metadata={"operation": operation, "joined": len(joined), "left": len(left)},
    )
