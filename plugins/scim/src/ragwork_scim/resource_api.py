"""What ``/Users`` and ``/Groups`` do alike: lists, one resource, and the answer to a change."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.http import Empty, File, Request, Response
from ragwork_hooks.storage import Transaction
from scim2_models import Resource

from ragwork_scim.config import ScimConfig
from ragwork_scim.directory_sync import DirectorySync
from ragwork_scim.protocol.columns import Columns
from ragwork_scim.protocol.discovery import listed
from ragwork_scim.protocol.error_format import MEDIA_TYPE
from ragwork_scim.protocol.etags import is_known, require_version
from ragwork_scim.protocol.filters import Condition, ResourceRange, condition, order
from ragwork_scim.protocol.projection import AttributeSelection
from ragwork_scim.protocol.queries import Projection, ResourceListQuery
from ragwork_scim.protocol.search import ResourceSearch, list_query
from ragwork_scim.protocol.urls import etag
from ragwork_scim.tenant_lock import acquire


class StoredResource(Protocol):
    """A row that is a resource."""

    @property
    def id(self) -> str: ...

    @property
    def version(self) -> int: ...


S = TypeVar("S", bound=StoredResource)


class ResourceApi(ABC, Generic[S]):
    """Handlers of the resources of one ``model``, whose attributes stand in ``columns`` and whose addresses begin
    with ``address``. Writes take the tenant's turn first.
    """

    model: ClassVar[type[Resource[Any]]]
    columns: ClassVar[Columns]
    address: ClassVar[str]

    def __init__(self, config: ScimConfig, rights: DirectorySync) -> None:
        self._config = config
        self._rights = rights

    async def list(self, request: Request[Empty, ResourceListQuery]) -> object:
        return await self._found(request, request.query)

    async def search(self, request: Request[dict[str, Any], Empty]) -> object:
        return await self._found(request, list_query(request.body))

    async def get(self, request: Request[Empty, Projection]) -> Response | File:
        wanted = AttributeSelection.of(request.query)
        stored = await self._stored(request, wanted)
        tag = {"ETag": etag(stored.version)}
        if is_known(request.headers, stored.version):
            return File(data=b"", mime=MEDIA_TYPE, status=304, headers=tag)
        return Response(data=self._shown(stored, wanted), headers=tag)

    async def section(
        self, request: Request[Any, Any], search: ResourceSearch, where: Condition, limit: int, offset: int
    ) -> Sequence[Mapping[str, object]]:
        """Up to ``limit`` resources that meet ``where``, from ``offset`` on."""
        if limit <= 0:
            return ()
        by = order(self.model, self.columns, search.sort_by, search.descending)
        rows = ResourceRange(where=where, order=by, limit=limit, offset=offset)
        found = await self._page(request.tx, rows, search.wanted)
        return [self._shown(stored, search.wanted) for stored in found]

    async def _found(self, request: Request[Any, Any], query: ResourceListQuery) -> object:
        search = ResourceSearch.of(query, self._config.default_page_size, self._config.max_page_size)
        where = condition(self.model, self.columns, search.filter)
        total = await self._count(request.tx, where)
        resources = await self.section(request, search, where, search.count, search.start - 1)
        return listed(resources, total=total, start=search.start)

    async def _held(self, request: Request[Any, Any]) -> S:
        """The row that the path names, in the tenant's turn. Raises ``Problem`` 404 and 412."""
        await acquire(request.tx)
        stored = await self._stored(request)
        require_version(request.headers, stored.version)
        return stored

    def _reply(
        self, stored: S, wanted: AttributeSelection, note: AuditDetails, *, changed: bool = True
    ) -> Response:
        return Response(
            data=self._shown(stored, wanted),
            status=201 if note.metadata["operation"] == "created" else 200,
            headers={"ETag": etag(stored.version), "Location": self.address + stored.id},
            changed=changed,
            audit=note,
        )

    @abstractmethod
    async def _stored(self, request: Request[Any, Any], wanted: AttributeSelection | None = None) -> S:
        """The row that the path names, with what of it is ``wanted`` beside. Raises ``Problem`` 404."""

    @abstractmethod
    async def _count(self, tx: Transaction, where: Condition) -> int: ...

    @abstractmethod
    async def _page(
        self, tx: Transaction, rows: ResourceRange, wanted: AttributeSelection
    ) -> Sequence[S]: ...

    @abstractmethod
    def _shown(self, stored: S, wanted: AttributeSelection) -> Mapping[str, object]:
        """The resource."""
