"""The SCIM routes. What handles them needs scim2-models, which takes long to import: it is loaded off the
event loop, while the process warms up or with the first request.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.http import AnyRoute, Call, NoFields, Route
from ragwork_toolkit.lazy import LazyImport

from ragwork_scim.config import ScimConfig
from ragwork_scim.dialect import DIALECT
from ragwork_scim.gates import FEATURE
from ragwork_scim.locations import BASE
from ragwork_scim.queries import DiscoveryQuery, ListQuery, Projection
from ragwork_scim.rights import Rights
from ragwork_scim.shapes import SCIM_TOKEN, ScimSearchBody, shape_of

if TYPE_CHECKING:
    from ragwork_scim.api import Api

B = TypeVar("B")
Q = TypeVar("Q")
Work = Callable[["Api", Call[B, Q]], Awaitable[object]]

USER_BYTES: Final = 131_072
#: Room for a group of some 20,000 members.
GROUP_BYTES: Final = 4_194_304
#: What the contract also serves without `/v1`.
UNVERSIONED: Final = frozenset(
    {"config", "users.list", "users.create", "users.get", "users.patch", "users.delete"}
    | {"groups.list", "groups.create", "groups.patch", "groups.delete"}
)
_READ: Final = Action(name="scim.read", role=Role.ADMIN)
_WRITE: Final = Action(name="scim.write", role=Role.ADMIN)
_USER: Final = f"{BASE}/Users/{{user_id}}"
_GROUP: Final = f"{BASE}/Groups/{{group_id}}"


class ScimRoutes:
    """Declarations, and the handlers' late loading."""

    def __init__(self, config: ScimConfig, rights: Rights) -> None:
        self._api = LazyImport(partial(_load, config, rights))

    async def warm(self) -> None:
        """Load what handles the routes."""
        await self._api.get()

    def all(self) -> tuple[AnyRoute, ...]:
        return (*self._discovery(), *self._users(), *self._groups(), *self._unserved())

    def _discovery(self) -> tuple[AnyRoute, ...]:
        return (
            self._read("config", "/ServiceProviderConfig", "What this service provider can do",
                       lambda api, call: api.provider_config(call), NoFields),
            self._read("base", "", "The resource types, at the base address, too",
                       lambda api, call: api.types(call), DiscoveryQuery),
            self._read("types", "/ResourceTypes", "The resource types",
                       lambda api, call: api.types(call), DiscoveryQuery),
            self._read("type", "/ResourceTypes/{name}", "One resource type",
                       lambda api, call: api.type(call), NoFields),
            self._read("schemas", "/Schemas", "The schemas",
                       lambda api, call: api.schemas(call), DiscoveryQuery),
            self._read("schema", "/Schemas/{urn}", "One schema",
                       lambda api, call: api.schema(call), NoFields),
        )  # fmt: skip

    def _users(self) -> tuple[AnyRoute, ...]:
        return (
            self._read("users.list", "/Users", "Users, by filter, order and page",
                       lambda api, call: api.users.list(call), ListQuery),
            self._read("users.get", "/Users/{user_id}", "One user",
                       lambda api, call: api.users.get(call), Projection),
            self._search("users.search", "/Users/.search", lambda api, call: api.users.search(call)),
            self._write("users.create", "POST", f"{BASE}/Users", "Provision a user",
                        lambda api, call: api.users.create(call), USER_BYTES),
            self._write("users.replace", "PUT", _USER, "Replace a user",
                        lambda api, call: api.users.replace(call), USER_BYTES),
            self._write("users.patch", "PATCH", _USER, "Change a user",
                        lambda api, call: api.users.patch(call), USER_BYTES),
            self._delete("users.delete", _USER, "Deprovision a user",
                         lambda api, call: api.users.delete(call)),
        )  # fmt: skip

    def _groups(self) -> tuple[AnyRoute, ...]:
        return (
            self._read("groups.list", "/Groups", "Groups, by filter, order and page",
                       lambda api, call: api.groups.list(call), ListQuery),
            self._read("groups.get", "/Groups/{group_id}", "One group",
                       lambda api, call: api.groups.get(call), Projection),
            self._search("groups.search", "/Groups/.search", lambda api, call: api.groups.search(call)),
            self._write("groups.create", "POST", f"{BASE}/Groups", "Provision a group",
                        lambda api, call: api.groups.create(call), GROUP_BYTES),
            self._write("groups.replace", "PUT", _GROUP, "Replace a group",
                        lambda api, call: api.groups.replace(call), GROUP_BYTES),
            self._write("groups.patch", "PATCH", _GROUP, "Change a group or its members",
                        lambda api, call: api.groups.patch(call), GROUP_BYTES),
            self._delete("groups.delete", _GROUP, "Delete a group",
                         lambda api, call: api.groups.delete(call)),
        )  # fmt: skip

    def _unserved(self) -> tuple[AnyRoute, ...]:
        """What the standard names or a client guesses, refused in the standard's words."""
        return (
            self._read("unknown", "/{endpoint}", "What no endpoint is",
                       lambda api, call: api.unknown(call), NoFields),
            self._search("search", "/.search", lambda api, call: api.search(call)),
            self._search("bulk", "/Bulk", lambda api, call: api.bulk(call)),
        )  # fmt: skip

    def _read(self, name: str, path: str, summary: str, work: Work[NoFields, Q], query: type[Q]) -> AnyRoute:
        return Route(
            name=f"scim.{name}", method="GET", path=BASE + path, summary=summary, handler=self._on(work),
            scope="tenant", action=_READ, rate_class="identity", idempotency="none", audit_event=None,
            feature=FEATURE, stale_reads=False, transaction="read", response=dict[str, Any], query=query,
            errors=("FEATURE_NOT_ENABLED", "NOT_FOUND", "BAD_REQUEST"), dialect=DIALECT, security=(SCIM_TOKEN,),
            legacy=name in UNVERSIONED,
        )  # fmt: skip

    def _search(self, name: str, path: str, work: Work[dict[str, Any], NoFields]) -> AnyRoute:
        return Route(
            name=f"scim.{name}", method="POST", path=BASE + path, summary="A list, asked for in a body",
            handler=self._on(work), scope="tenant", action=_READ, rate_class="identity", idempotency="none",
            audit_event=None, feature=FEATURE, stale_reads=False, transaction="read",
            response=dict[str, Any], body=dict, body_shape=ScimSearchBody, body_kind="json", body_limit=USER_BYTES,
            errors=("FEATURE_NOT_ENABLED", "BAD_REQUEST"), dialect=DIALECT, security=(SCIM_TOKEN,),
        )  # fmt: skip

    def _write(
        self,
        name: str,
        method: Literal["POST", "PUT", "PATCH"],
        path: str,
        summary: str,
        work: Work[dict[str, Any], Projection],
        limit: int,
    ) -> AnyRoute:
        return Route(
            name=f"scim.{name}", method=method, path=path, summary=summary, handler=self._on(work),
            scope="tenant", action=_WRITE, rate_class="identity", idempotency="none",
            audit_event=_event(name), feature=FEATURE, stale_reads=False, transaction="write",
            response=dict[str, Any], body=dict, body_shape=shape_of(name), body_kind="json",
            body_limit=limit, query=Projection,
            status=201 if method == "POST" else 200,
            errors=("FEATURE_NOT_ENABLED", "NOT_FOUND", "CONFLICT"), dialect=DIALECT, security=(SCIM_TOKEN,),
            legacy=name in UNVERSIONED,
        )  # fmt: skip

    def _delete(self, name: str, path: str, summary: str, work: Work[NoFields, NoFields]) -> AnyRoute:
        return Route(
            name=f"scim.{name}", method="DELETE", path=path, summary=summary, handler=self._on(work),
            scope="tenant", action=_WRITE, rate_class="identity", idempotency="none",
            audit_event=_event(name), feature=FEATURE, stale_reads=False, transaction="write",
            response=None, status=204, errors=("FEATURE_NOT_ENABLED", "NOT_FOUND"), dialect=DIALECT,
            security=(SCIM_TOKEN,), legacy=name in UNVERSIONED,
        )  # fmt: skip

    def _on(self, work: Work[B, Q]) -> Callable[[Call[B, Q]], Awaitable[object]]:
        async def handle(call: Call[B, Q]) -> object:
            return await work(await self._api.get(), call)

        return handle


def _load(config: ScimConfig, rights: Rights) -> "Api":
    from ragwork_scim.api import Api

    return Api(config, rights)


def _event(name: str) -> str:
    return f"identity.scim.{'user' if name.startswith('users.') else 'group'}.updated"
