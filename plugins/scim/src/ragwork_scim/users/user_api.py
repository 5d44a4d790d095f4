"""``/Users``: what the handlers do."""

from collections.abc import Mapping, Sequence
from typing import Any

from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.http import Empty, File, Request, Response
from scim2_models import Context

from ragwork_scim.config import ScimConfig
from ragwork_scim.directory_sync import DirectorySync
from ragwork_scim.protocol import patches, payloads
from ragwork_scim.protocol.columns import USER_COLUMNS
from ragwork_scim.protocol.discovery import listed
from ragwork_scim.protocol.error_format import MEDIA_TYPE
from ragwork_scim.protocol.etags import is_known, require_version
from ragwork_scim.protocol.filters import Condition, condition, order
from ragwork_scim.protocol.models import Person
from ragwork_scim.protocol.projection import AttributeSelection, projected
from ragwork_scim.protocol.queries import Projection, ResourceListQuery
from ragwork_scim.protocol.search import ResourceSearch, list_query
from ragwork_scim.protocol.urls import USERS, etag
from ragwork_scim.tenant_lock import acquire
from ragwork_scim.users import user_store
from ragwork_scim.users.user_store import StoredUser

_CREATED, _UPDATED, _DISABLED, _DELETED = (
    f"identity.scim.user.{what}" for what in ("created", "updated", "disabled", "deleted")
)


class UsersApi:
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
        stored = await user_store.get(request.tx, request.path["user_id"])
        tag = {"ETag": etag(stored.version)}
        if is_known(request.headers, stored.version):
            return File(data=b"", mime=MEDIA_TYPE, status=304, headers=tag)
        return Response(data=projected(Person, stored.resource(), wanted), headers=tag)

    async def create(self, request: Request[dict[str, Any], Projection]) -> Response:
        person = payloads.user_of(request.body, Context.RESOURCE_CREATION_REQUEST)
        wanted = AttributeSelection.of(request.query)
        await acquire(request.tx)
        stored = await user_store.insert(request.tx, person)
        await self._rights.create(request.tx, request.principal, stored.id, stored.active)
        return _reply(stored, wanted, _note(_CREATED, stored, "created"))

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

    async def _held(self, request: Request[Any, Any]) -> StoredUser:
        """The user in the tenant's turn. Raises ``Problem`` 404 and 412."""
        await acquire(request.tx)
        stored = await user_store.get(request.tx, request.path["user_id"])
        require_version(request.headers, stored.version)
        return stored

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
        return _reply(now, wanted, note, changed=now is not stored)

    async def _found(self, request: Request[Any, Any], query: ResourceListQuery) -> object:
        search = ResourceSearch.of(query, self._config.default_page_size, self._config.max_page_size)
        where = condition(Person, USER_COLUMNS, search.filter)
        total = await user_store.count(request.tx, where)
        resources = await self.section(request, search, where, search.count, search.start - 1)
        return listed(resources, total=total, start=search.start)

    async def section(
        self, request: Request[Any, Any], search: ResourceSearch, where: Condition, limit: int, offset: int
    ) -> Sequence[Mapping[str, object]]:
        """Up to ``limit`` resources that meet ``where``, from ``offset`` on."""
        if limit <= 0:
            return ()
        by = order(Person, USER_COLUMNS, search.sort_by, search.descending)
        found = await user_store.page(request.tx, where, by, limit, offset)
        return [projected(Person, user.resource(), search.wanted) for user in found]


def _reply(
    stored: StoredUser, wanted: AttributeSelection, note: AuditDetails, *, changed: bool = True
) -> Response:
    return Response(
        data=projected(Person, stored.resource(), wanted),
        status=201 if note.metadata["operation"] == "created" else 200,
        headers={"ETag": etag(stored.version), "Location": USERS + stored.id},
        changed=changed,
        audit=note,
    )


def _note(event: str, stored: StoredUser, operation: str) -> AuditDetails:
    return AuditDetails(
        event=event,
        resource_type="user",
        resource_id=stored.id,
        metadata={"operation": operation, "active": stored.active},
    )
