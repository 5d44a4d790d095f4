"""The SCIM routes. What handles them needs scim2-models, which takes long to import: it is loaded off the
event loop with the first request: most servers never get one.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.http import AnyRoute, Request, Route
from ragwork_toolkit.lazy import LazyImport
from ragwork_toolkit.routes import identity_read_route, identity_write_route

from ragwork_scim.config import ScimConfig
from ragwork_scim.directory_sync import DirectorySync
from ragwork_scim.gates import FEATURE
from ragwork_scim.protocol.error_format import DIALECT
from ragwork_scim.protocol.queries import DiscoveryQuery, Projection, ResourceListQuery
from ragwork_scim.protocol.schemas import (
    SCIM_TOKEN,
    ScimGroupBody,
    ScimPatchBody,
    ScimSearchBody,
    ScimUserBody,
)
from ragwork_scim.protocol.urls import BASE

if TYPE_CHECKING:
    from ragwork_scim.handlers import Api

B = TypeVar("B")
Q = TypeVar("Q")
Work = Callable[["Api", Request[B, Q]], Awaitable[object]]

USER_BYTES: Final = 131_072
#: Room for a group of some 20,000 members.
GROUP_BYTES: Final = 4_194_304
_READ: Final = Action(name="scim.read", role=Role.ADMIN)
_WRITE: Final = Action(name="scim.write", role=Role.ADMIN)
_READ_ERRORS: Final = ("FEATURE_NOT_ENABLED", "NOT_FOUND", "BAD_REQUEST")
_WRITE_ERRORS: Final = ("FEATURE_NOT_ENABLED", "NOT_FOUND", "CONFLICT")
_USERS: Final = f"{BASE}/Users"
_USER: Final = f"{_USERS}/{{user_id}}"
_GROUPS: Final = f"{BASE}/Groups"
_GROUP: Final = f"{_GROUPS}/{{group_id}}"


class ScimRoutes:
    """Declarations, and the handlers' late loading."""

    def __init__(self, config: ScimConfig, rights: DirectorySync) -> None:
        self._api = LazyImport(partial(_load, config, rights))

    def all(self) -> tuple[AnyRoute, ...]:
        return (*self._discovery(), *self._users(), *self._groups(), *self._unserved())

    def _discovery(self) -> tuple[AnyRoute, ...]:
        return (
            identity_read_route(
                name="scim.config", path=f"{BASE}/ServiceProviderConfig",
                summary="What this service provider can do",
                handler=self._on(lambda api, request: api.provider_config(request)), action=_READ, feature=FEATURE,
                response=dict[str, Any], errors=_READ_ERRORS, error_format=DIALECT,
                security=(SCIM_TOKEN,), legacy=True,
            ),
            identity_read_route(
                name="scim.base", path=BASE, summary="The resource types, at the base address, too",
                handler=self._on(lambda api, request: api.types(request)), action=_READ, feature=FEATURE,
                response=dict[str, Any], query=DiscoveryQuery, errors=_READ_ERRORS, error_format=DIALECT,
                security=(SCIM_TOKEN,),
            ),
            identity_read_route(
                name="scim.types", path=f"{BASE}/ResourceTypes", summary="The resource types",
                handler=self._on(lambda api, request: api.types(request)), action=_READ, feature=FEATURE,
                response=dict[str, Any], query=DiscoveryQuery, errors=_READ_ERRORS, error_format=DIALECT,
                security=(SCIM_TOKEN,),
            ),
            identity_read_route(
                name="scim.type", path=f"{BASE}/ResourceTypes/{{name}}", summary="One resource type",
                handler=self._on(lambda api, request: api.type(request)), action=_READ, feature=FEATURE,
                response=dict[str, Any], errors=_READ_ERRORS, error_format=DIALECT, security=(SCIM_TOKEN,),
            ),
            identity_read_route(
                name="scim.schemas", path=f"{BASE}/Schemas", summary="The schemas",
                handler=self._on(lambda api, request: api.schemas(request)), action=_READ, feature=FEATURE,
                response=dict[str, Any], query=DiscoveryQuery, errors=_READ_ERRORS, error_format=DIALECT,
                security=(SCIM_TOKEN,),
            ),
            identity_read_route(
                name="scim.schema", path=f"{BASE}/Schemas/{{urn}}", summary="One schema",
                handler=self._on(lambda api, request: api.schema(request)), action=_READ, feature=FEATURE,
                response=dict[str, Any], errors=_READ_ERRORS, error_format=DIALECT, security=(SCIM_TOKEN,),
            ),
        )  # fmt: skip

    def _users(self) -> tuple[AnyRoute, ...]:
        return (
            identity_read_route(
                name="scim.users.list", path=_USERS, summary="Users, by filter, order and page",
                handler=self._on(lambda api, request: api.users.list(request)), action=_READ, feature=FEATURE,
                response=dict[str, Any], query=ResourceListQuery, errors=_READ_ERRORS, error_format=DIALECT,
                security=(SCIM_TOKEN,), legacy=True,
            ),
            identity_read_route(
                name="scim.users.get", path=_USER, summary="One user",
                handler=self._on(lambda api, request: api.users.get(request)), action=_READ, feature=FEATURE,
                response=dict[str, Any], query=Projection, errors=_READ_ERRORS, error_format=DIALECT,
                security=(SCIM_TOKEN,), legacy=True,
            ),
            Route(
                name="scim.users.search", method="POST", path=f"{_USERS}/.search",
                summary="A list, asked for in a body",
                handler=self._on(lambda api, request: api.users.search(request)), scope="tenant", action=_READ,
                rate_class="identity", idempotency="none", audit_event=None, feature=FEATURE, stale_reads=False,
                transaction="read", response=dict[str, Any], body=dict, body_shape=ScimSearchBody,
                body_kind="json", body_limit=USER_BYTES, errors=("FEATURE_NOT_ENABLED", "BAD_REQUEST"),
                error_format=DIALECT, security=(SCIM_TOKEN,),
            ),
            identity_write_route(
                name="scim.users.create", method="POST", path=_USERS, summary="Provision a user",
                handler=self._on(lambda api, request: api.users.create(request)), action=_WRITE,
                audit_event="identity.scim.user.updated", idempotency="none", feature=FEATURE,
                response=dict[str, Any], body=dict, body_shape=ScimUserBody, body_limit=USER_BYTES,
                query=Projection, status=201, errors=_WRITE_ERRORS, error_format=DIALECT,
                security=(SCIM_TOKEN,), legacy=True,
            ),
            identity_write_route(
                name="scim.users.replace", method="PUT", path=_USER, summary="Replace a user",
                handler=self._on(lambda api, request: api.users.replace(request)), action=_WRITE,
                audit_event="identity.scim.user.updated", idempotency="none", feature=FEATURE,
                response=dict[str, Any], body=dict, body_shape=ScimUserBody, body_limit=USER_BYTES,
                query=Projection, errors=_WRITE_ERRORS, error_format=DIALECT, security=(SCIM_TOKEN,),
            ),
            identity_write_route(
                name="scim.users.patch", method="PATCH", path=_USER, summary="Change a user",
                handler=self._on(lambda api, request: api.users.patch(request)), action=_WRITE,
                audit_event="identity.scim.user.updated", idempotency="none", feature=FEATURE,
                response=dict[str, Any], body=dict, body_shape=ScimPatchBody, body_limit=USER_BYTES,
                query=Projection, errors=_WRITE_ERRORS, error_format=DIALECT, security=(SCIM_TOKEN,), legacy=True,
            ),
            identity_write_route(
                name="scim.users.delete", method="DELETE", path=_USER, summary="Deprovision a user",
                handler=self._on(lambda api, request: api.users.delete(request)), action=_WRITE,
                audit_event="identity.scim.user.updated", idempotency="none", feature=FEATURE, response=None,
                status=204, errors=("FEATURE_NOT_ENABLED", "NOT_FOUND"), error_format=DIALECT,
                security=(SCIM_TOKEN,), legacy=True,
            ),
        )  # fmt: skip

    def _groups(self) -> tuple[AnyRoute, ...]:
        return (
            identity_read_route(
                name="scim.groups.list", path=_GROUPS, summary="Groups, by filter, order and page",
                handler=self._on(lambda api, request: api.groups.list(request)), action=_READ, feature=FEATURE,
                response=dict[str, Any], query=ResourceListQuery, errors=_READ_ERRORS, error_format=DIALECT,
                security=(SCIM_TOKEN,), legacy=True,
            ),
            identity_read_route(
                name="scim.groups.get", path=_GROUP, summary="One group",
                handler=self._on(lambda api, request: api.groups.get(request)), action=_READ, feature=FEATURE,
                response=dict[str, Any], query=Projection, errors=_READ_ERRORS, error_format=DIALECT,
                security=(SCIM_TOKEN,),
            ),
            Route(
                name="scim.groups.search", method="POST", path=f"{_GROUPS}/.search",
                summary="A list, asked for in a body",
                handler=self._on(lambda api, request: api.groups.search(request)), scope="tenant", action=_READ,
                rate_class="identity", idempotency="none", audit_event=None, feature=FEATURE, stale_reads=False,
                transaction="read", response=dict[str, Any], body=dict, body_shape=ScimSearchBody,
                body_kind="json", body_limit=USER_BYTES, errors=("FEATURE_NOT_ENABLED", "BAD_REQUEST"),
                error_format=DIALECT, security=(SCIM_TOKEN,),
            ),
            identity_write_route(
                name="scim.groups.create", method="POST", path=_GROUPS, summary="Provision a group",
                handler=self._on(lambda api, request: api.groups.create(request)), action=_WRITE,
                audit_event="identity.scim.group.updated", idempotency="none", feature=FEATURE,
                response=dict[str, Any], body=dict, body_shape=ScimGroupBody, body_limit=GROUP_BYTES,
                query=Projection, status=201, errors=_WRITE_ERRORS, error_format=DIALECT,
                security=(SCIM_TOKEN,), legacy=True,
            ),
            identity_write_route(
                name="scim.groups.replace", method="PUT", path=_GROUP, summary="Replace a group",
                handler=self._on(lambda api, request: api.groups.replace(request)), action=_WRITE,
                audit_event="identity.scim.group.updated", idempotency="none", feature=FEATURE,
                response=dict[str, Any], body=dict, body_shape=ScimGroupBody, body_limit=GROUP_BYTES,
                query=Projection, errors=_WRITE_ERRORS, error_format=DIALECT, security=(SCIM_TOKEN,),
            ),
            identity_write_route(
                name="scim.groups.patch", method="PATCH", path=_GROUP, summary="Change a group or its members",
                handler=self._on(lambda api, request: api.groups.patch(request)), action=_WRITE,
                audit_event="identity.scim.group.updated", idempotency="none", feature=FEATURE,
                response=dict[str, Any], body=dict, body_shape=ScimPatchBody, body_limit=GROUP_BYTES,
                query=Projection, errors=_WRITE_ERRORS, error_format=DIALECT, security=(SCIM_TOKEN,), legacy=True,
            ),
            identity_write_route(
                name="scim.groups.delete", method="DELETE", path=_GROUP, summary="Delete a group",
                handler=self._on(lambda api, request: api.groups.delete(request)), action=_WRITE,
                audit_event="identity.scim.group.updated", idempotency="none", feature=FEATURE, response=None,
                status=204, errors=("FEATURE_NOT_ENABLED", "NOT_FOUND"), error_format=DIALECT,
                security=(SCIM_TOKEN,), legacy=True,
            ),
        )  # fmt: skip

    def _unserved(self) -> tuple[AnyRoute, ...]:
        """What the standard names or a client guesses, refused in the standard's words."""
        return (
            identity_read_route(
                name="scim.unknown", path=f"{BASE}/{{endpoint}}", summary="What no endpoint is",
                handler=self._on(lambda api, request: api.unknown(request)), action=_READ, feature=FEATURE,
                response=dict[str, Any], errors=_READ_ERRORS, error_format=DIALECT, security=(SCIM_TOKEN,),
            ),
            Route(
                name="scim.search", method="POST", path=f"{BASE}/.search",
                summary="A list, asked for in a body",
                handler=self._on(lambda api, request: api.search(request)), scope="tenant", action=_READ,
                rate_class="identity", idempotency="none", audit_event=None, feature=FEATURE, stale_reads=False,
                transaction="read", response=dict[str, Any], body=dict, body_shape=ScimSearchBody,
                body_kind="json", body_limit=USER_BYTES, errors=("FEATURE_NOT_ENABLED", "BAD_REQUEST"),
                error_format=DIALECT, security=(SCIM_TOKEN,),
            ),
            Route(
                name="scim.bulk", method="POST", path=f"{BASE}/Bulk",
                summary="A list, asked for in a body",
                handler=self._on(lambda api, request: api.bulk(request)), scope="tenant", action=_READ,
                rate_class="identity", idempotency="none", audit_event=None, feature=FEATURE, stale_reads=False,
                transaction="read", response=dict[str, Any], body=dict, body_shape=ScimSearchBody,
                body_kind="json", body_limit=USER_BYTES, errors=("FEATURE_NOT_ENABLED", "BAD_REQUEST"),
                error_format=DIALECT, security=(SCIM_TOKEN,),
            ),
        )  # fmt: skip

    def _on(self, work: Work[B, Q]) -> Callable[[Request[B, Q]], Awaitable[object]]:
        async def handle(request: Request[B, Q]) -> object:
            return await work(await self._api.get(), request)

        return handle


def _load(config: ScimConfig, rights: DirectorySync) -> "Api":
    from ragwork_scim.handlers import Api

    return Api(config, rights)
