"""A running platform with agent identity, its administrator's key, and shorthands for what tests do often."""

import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

import attrs
import pytest
import pytest_asyncio
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import Answer, Running, running

PLUGINS = ("directory", "apikeys", "rbac", "audit", "rego", "agents")
ALLOW_READS = """package oculus.authz
default allow = false
allow {
    input.subject.status == "active"
    endswith(input.action, ":read")
}
"""
ALLOW_ALL = 'package oculus.authz\ndefault allow = false\nallow { input.subject.status == "active" }\n'


@attrs.frozen(kw_only=True)
class Authority:
    """The server under test and an administrator of a tenant of the test's own."""

    app: Running
    admin: str
    tenant: str

    async def call(self, method: str, path: str, json: Any = None, key: str | None = None) -> Answer:
        return await self.app.call(method, path, key or self.admin, json=json)

    async def policy(self, content: str = ALLOW_READS, **more: Any) -> str:
        answer = await self.call("POST", "/api/v1/policies", {"name": "p", "content": content, **more})
        assert answer.status == 201, answer.text
        return str(answer.body["id"])

    async def agent(self, *policies: str, **more: Any) -> dict[str, Any]:
        """A new agent with its client_id and client_secret."""
        body = {"name": "agent", "policy_ids": list(policies), **more}
        answer = await self.call("POST", "/api/v1/agents", body)
        assert answer.status == 201, answer.text
        return dict(answer.body)

    async def form(
        self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Answer:
        return await self.app.call("POST", path, data=dict(fields), headers=headers)

    async def token(self, agent: Mapping[str, Any], scope: str = "db:read", **more: str) -> Answer:
        return await self.form(
            "/oauth/token",
            {
                "grant_type": "client_credentials",
                "client_id": agent["client_id"],
                "client_secret": agent["client_secret"],
                "scope": scope,
                **more,
            },
        )

    async def introspect(self, token: str) -> dict[str, Any]:
        answer = await self.app.call("POST", "/oauth/introspect/v2", self.admin, data={"token": token})
        assert answer.status == 200, answer.text
        return dict(answer.body)

    async def revoked(self) -> set[str]:
        return set((await self.app.call("GET", "/oauth/revoked-tokens")).body["revoked_jtis"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(postgres: PostgresServer) -> AsyncIterator[Running]:
    """One server for all tests of a module: each has a tenant of its own."""
    async with running(postgres, PLUGINS) as app:
        yield app


@pytest_asyncio.fixture(loop_scope="module")
async def authority(server: Running) -> Authority:
    tenant = f"t{uuid.uuid4().hex[:8]}"
    return Authority(app=server, admin=await server.key(tenant, user="root"), tenant=tenant)


@pytest.fixture
def rego_all() -> str:
    return ALLOW_ALL
