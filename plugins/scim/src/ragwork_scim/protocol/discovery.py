"""What a client can ask about the service itself: configuration, resource types and schemas."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ragwork_hooks.errors import not_found
from scim2_models import (
    AuthenticationScheme,
    Bulk,
    ChangePassword,
    Context,
    ETag,
    External,
    Filter,
    Pagination,
    Patch,
    Reference,
    Resource,
    ResourceType,
    ServiceProviderConfig,
    Sort,
)

from ragwork_scim.protocol.models import EnterpriseUser, Group, Person, User
from ragwork_scim.protocol.urls import BASE

LIST: Final = "urn:ietf:params:scim:api:messages:2.0:ListResponse"


class Discovery:
    """The answers, made once."""

    def __init__(self, default_page_size: int, max_page_size: int) -> None:
        self.config = _dump("ServiceProviderConfig", "", _config(default_page_size, max_page_size))
        types = [ResourceType.from_resource(model) for model in (Person, Group)]
        self._types = {str(t.id): _dump("ResourceType", f"ResourceTypes/{t.id}", t) for t in types}
        schemas = [model.to_schema() for model in (User, EnterpriseUser, Group)]
        self._schemas = {str(s.id): _dump("Schema", f"Schemas/{s.id}", s) for s in schemas}

    def types(self) -> Mapping[str, object]:
        return listed(list(self._types.values()), total=len(self._types), start=1)

    def schemas(self) -> Mapping[str, object]:
        return listed(list(self._schemas.values()), total=len(self._schemas), start=1)

    def type(self, name: str) -> Mapping[str, object]:
        """Raises ``Problem`` 404."""
        return _found(self._types, "resource type", name)

    def schema(self, urn: str) -> Mapping[str, object]:
        """Raises ``Problem`` 404."""
        return _found(self._schemas, "schema", urn)


def listed(resources: Sequence[Any], *, total: int, start: int) -> Mapping[str, object]:
    """A list response; ``start`` is the 1-based index of the first of ``total``."""
    return {
        "schemas": [LIST],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": len(resources),
        "Resources": list(resources),
    }


def _config(default_page_size: int, max_page_size: int) -> ServiceProviderConfig:
    scheme = AuthenticationScheme(
        type=AuthenticationScheme.Type.oauthbearertoken,
        name="Bearer token",
        description="A token made at /v1/admin/identity/scim/token/create",
        spec_uri=Reference[External]("https://www.rfc-editor.org/info/rfc6750"),
        primary=True,
    )
    return ServiceProviderConfig(
        patch=Patch(supported=True),
        bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
        filter=Filter(supported=True, max_results=max_page_size),
        change_password=ChangePassword(supported=False),
        sort=Sort(supported=True),
        etag=ETag(supported=True),
        pagination=Pagination(
            cursor=False, index=True, default_page_size=default_page_size, max_page_size=max_page_size
        ),
        authentication_schemes=[scheme],
    )


def _dump(kind: str, path: str, resource: Resource[Any]) -> Mapping[str, object]:
    body: dict[str, object] = resource.model_dump(scim_ctx=Context.DEFAULT)
    location = f"{BASE}/{path or kind}"
    return {**body, "meta": {"resourceType": kind, "location": location}}


def _found(known: Mapping[str, Mapping[str, object]], what: str, name: str) -> Mapping[str, object]:
    for key, value in known.items():
        if key.lower() == name.lower():
            return value
    raise not_found(what, name)
