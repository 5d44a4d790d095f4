"""A platform with SCIM, and a client that speaks it."""

import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import attrs
import pytest
import pytest_asyncio
from ragwork_hooks.auth import Directory
from ragwork_testkit.platform import running

PLUGINS = ("directory", "apikeys", "rbac", "plans", "audit", "scim")
SETTINGS = {"PLAN_DEFAULT": "enterprise"}
BASE = "/v1/scim/v2"
MEDIA = "application/scim+json"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@attrs.frozen
class Client:
    """One identity provider: its token, and the tenant's admin beside it."""

    app: Any
    token: str
    admin: str
    tenant: str

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        **params: str,
    ) -> Any:
        sent = {"Accept": MEDIA, **(headers or {})}
        return await self.app.call(method, BASE + path, self.token, json=body, headers=sent, params=params)

    async def user(self, user_name: str, **more: Any) -> Any:
        """A new user's resource."""
        made = await self("POST", "/Users", {"schemas": [USER], "userName": user_name, **more})
        assert made.status == 201, made.text
        return made.body

    async def group(self, name: str, *members: str, **more: Any) -> Any:
        """A new group's resource."""
        body = {"schemas": [GROUP], "displayName": name, "members": [{"value": m} for m in members], **more}
        made = await self("POST", "/Groups", body)
        assert made.status == 201, made.text
        return made.body

    async def patch(self, path: str, *operations: Any, **more: Any) -> Any:
        return await self("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)}, **more)

    async def bind(self, group_id: str, role: str | None) -> Any:
        path = f"/v1/admin/identity/scim/groups/{group_id}"
        bound = await self.app.call("PATCH", path, self.admin, json={"role_binding": role})
        assert bound.status == 200, bound.text
        return bound.data

    async def directory(self, user_id: str) -> Any:
        """The directory's user."""
        services = self.app.platform.facades["scim"]
        async with services.db.tenant(self.tenant, "read") as tx:
            return await services.use(Directory).user(tx, user_id)


async def client_of(app: Any, tenant: str = "t1") -> Client:
    """A client of ``tenant`` with a token of its own."""
    admin = await app.key(tenant)
    made = await app.call("POST", "/v1/admin/identity/scim/token/create", admin)
    assert made.status == 201, made.text
    return Client(app, made.data["token"], admin, tenant)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(postgres: Any) -> AsyncIterator[Any]:
    async with running(postgres, PLUGINS, SETTINGS) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def other(app: Any) -> Client:
    """A client of another tenant."""
    return await client_of(app, f"o-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def serve(postgres: Any) -> Callable[..., Any]:
    """Starts a platform with SCIM, on a database of its own unless one is given."""

    def start(database_url: str | None = None, **settings: str) -> Any:
        return running(postgres, PLUGINS, SETTINGS | settings, database_url)

    return start


@pytest_asyncio.fixture(loop_scope="module")
async def scim(app: Any) -> Client:
    """A client of a tenant that is this test's own."""
    return await client_of(app, f"t-{uuid.uuid4().hex[:12]}")
