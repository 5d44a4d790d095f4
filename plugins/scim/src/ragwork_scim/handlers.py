"""All of SCIM that needs its models, in one object: importing this module takes long, see ``routes``."""

from collections.abc import Mapping
from typing import Any

from ragwork_hooks.errors import Problem
from ragwork_hooks.http import Empty, Request

from ragwork_scim.config import ScimConfig
from ragwork_scim.directory_sync import DirectorySync
from ragwork_scim.groups import group_store
from ragwork_scim.groups.group_api import GroupsApi
from ragwork_scim.protocol.columns import GROUP_COLUMNS, USER_COLUMNS
from ragwork_scim.protocol.discovery import Discovery, listed
from ragwork_scim.protocol.filters import condition
from ragwork_scim.protocol.models import Group, Person
from ragwork_scim.protocol.queries import DiscoveryQuery
from ragwork_scim.protocol.search import ResourceSearch, list_query
from ragwork_scim.users import user_store
from ragwork_scim.users.user_api import UsersApi


class Api:
    """The handlers of every SCIM route."""

    def __init__(self, config: ScimConfig, rights: DirectorySync) -> None:
        self._config = config
        self._discovery = Discovery(config.default_page_size, config.max_page_size)
        self.users = UsersApi(config, rights)
        self.groups = GroupsApi(config, rights)

    async def provider_config(self, _call: Request[Empty, Empty]) -> Mapping[str, object]:
        return self._discovery.config

    async def types(self, request: Request[Empty, DiscoveryQuery]) -> Mapping[str, object]:
        _refuse_filter(request)
        return self._discovery.types()

    async def type(self, request: Request[Empty, Empty]) -> Mapping[str, object]:
        return self._discovery.type(request.path["name"])

    async def schemas(self, request: Request[Empty, DiscoveryQuery]) -> Mapping[str, object]:
        _refuse_filter(request)
        return self._discovery.schemas()

    async def schema(self, request: Request[Empty, Empty]) -> Mapping[str, object]:
        return self._discovery.schema(request.path["urn"])

    async def unknown(self, request: Request[Empty, Empty]) -> object:
        """What no endpoint is: 404 in SCIM's own words; ``/Me`` is 501 (RFC 7644 §3.11)."""
        name = request.path["endpoint"]
        if name == "Me":
            raise Problem("NOT_IMPLEMENTED", "a token is nobody's: there is no /Me", status=501)
        raise Problem("NOT_FOUND", f"there is no endpoint {name[:100]!r}; /ResourceTypes lists them")

    async def bulk(self, _call: Request[dict[str, Any], Empty]) -> object:
        """What the standard leaves open and this service does not do (RFC 7644 §3.12)."""
        raise Problem("NOT_IMPLEMENTED", "bulk operations are not supported", status=501)

    async def search(self, request: Request[dict[str, Any], Empty]) -> object:
        """Users, then groups: one list. What is said of an attribute is false of who does not have it."""
        search = ResourceSearch.of(
            list_query(request.body), self._config.default_page_size, self._config.max_page_size
        )
        if search.sort_by is not None:
            raise Problem("NOT_IMPLEMENTED", "a list of users and groups can't be sorted", status=501)
        for_users = condition(Person, USER_COLUMNS, search.filter, lenient=True)
        for_groups = condition(Group, GROUP_COLUMNS, search.filter, lenient=True)
        users, others = (
            await user_store.count(request.tx, for_users),
            await group_store.count(request.tx, for_groups),
        )
        offset = search.start - 1
        first = await self.users.section(
            request, search, for_users, min(search.count, users - offset), offset
        )
        left, beyond = search.count - len(first), max(0, offset - users)
        then = await self.groups.section(request, search, for_groups, left, beyond)
        return listed([*first, *then], total=users + others, start=search.start)


def _refuse_filter(request: Request[Empty, DiscoveryQuery]) -> None:
    """Discovery takes no filter (RFC 7644 §4): 403."""
    if request.query.filter is not None:
        raise Problem("AUTH_FORBIDDEN", "this endpoint can't be filtered")
