"""A platform with single sign-on, a provider that can lie, and a browser between them."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs
import pytest
import pytest_asyncio
from ragwork_testkit.oidc_server import CLIENT_ID, CLIENT_SECRET, OidcServer, oidc_server

PLUGINS = ("directory", "apikeys", "rbac", "plans", "audit", "sso")
SETTINGS = {
    "PLAN_DEFAULT": "enterprise",
    "EGRESS_ALLOW_PRIVATE": "127.0.0.0/8,::1/128",
    "SSO_ALLOWED_REDIRECT_HOSTS": "app.example.com,localhost:3000",
    "SSO_CLIENT_SECRET_T1": json.dumps({"tenant_id": "t1", "client_secret": CLIENT_SECRET}),
    "SSO_CLIENT_SECRET_T2": json.dumps({"tenant_id": "t2", "client_secret": CLIENT_SECRET}),
}
PROVIDERS = "/v1/admin/identity/providers"


@attrs.define
class Browser:
    """Keeps cookies, as one browser does, and takes parameters from one side to the other."""

    app: Any
    cookies: dict[str, str] = attrs.field(factory=dict)

    async def start(self, provider_id: str, **params: str) -> dict[str, str]:
        """The parameters that the provider is sent."""
        answer = await self.app.call("GET", f"/v1/auth/sso/oidc/{provider_id}/start", params=params)
        assert answer.status == 200, answer.text
        self.keep(answer)
        return dict(parse_qsl(urlsplit(answer.data["authorize_url"]).query))

    def keep(self, answer: Any) -> None:
        name, _, value = answer.headers["Set-Cookie"].partition(";")[0].partition("=")
        self.cookies[name] = value

    async def callback(self, provider_id: str, back: Mapping[str, str]) -> Any:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return await self.app.call(
            "GET",
            f"/v1/auth/sso/oidc/{provider_id}/callback",
            params=back,
            headers={"Cookie": cookie} if cookie else {},
        )

    async def login(self, provider_id: str, idp: OidcServer, **params: str) -> Any:
        """The whole way; the callback's answer."""
        return await self.callback(provider_id, idp.authorize(await self.start(provider_id, **params)))


@attrs.define(kw_only=True)
class Stage:
    """A running platform and provider. ``admin`` is a key of ``boss`` of tenant t1."""

    app: Any
    idp: OidcServer
    admin: str

    def browser(self) -> Browser:
        return Browser(self.app)

    async def provider(self, key: str | None = None, *, on: bool = True, **fields: Any) -> str:
        """The id of the provider of an issuer, new or with ``fields`` from now on."""
        body = {
            "type": "oidc", "name": "Test", "client_id": CLIENT_ID, "client_secret_ref": "SSO_CLIENT_SECRET_T1",
            "default_role": "reader", "jit_enabled": True, **self.idp.endpoints(), **fields,
        }  # fmt: skip
        listed = await self.app.call("GET", PROVIDERS, key or self.admin)
        known = [each["id"] for each in listed.data["items"] if each["issuer"] == body["issuer"]]
        if known:
            del body["type"]
            made = await self.app.call("PATCH", f"{PROVIDERS}/{known[0]}", key or self.admin, json=body)
        else:
            made = await self.app.call("POST", PROVIDERS, key or self.admin, json=body)
        assert made.status in (200, 201), made.text
        provider_id: str = made.data["id"]
        if on:
            enabled = await self.app.call("POST", f"{PROVIDERS}/{provider_id}/enable", key or self.admin)
            assert enabled.status == 200
        return provider_id

    async def login(self, provider_id: str) -> Any:
        """A login in a fresh browser."""
        return await self.browser().login(provider_id, self.idp)

    async def audited(self, event: str, tenant: str = "t1") -> list[Any]:
        """The records of one type, oldest first."""
        db = self.app.platform.facades["sso"].db
        async with db.tenant(tenant, "read") as tx:
            rows = await tx.fetch(
                "SELECT * FROM audit.events WHERE event_type = $1 ORDER BY occurred_at", event
            )
        return [dict(row) for row in rows]


@pytest_asyncio.fixture
async def idp() -> AsyncIterator[OidcServer]:
    async with oidc_server() as provider:
        yield provider


@pytest.fixture
def staged(platform: Callable[..., Any], idp: OidcServer) -> Callable[..., Any]:
    """``async with staged(SETTING=…) as stage``."""

    @asynccontextmanager
    async def run(**settings: str) -> AsyncIterator[Stage]:
        async with platform(plugins=PLUGINS, settings=SETTINGS | settings) as app:
            yield Stage(app=app, idp=idp, admin=await app.key("t1", user="boss"))

    return run


@pytest_asyncio.fixture
async def stage(staged: Callable[..., Any]) -> AsyncIterator[Stage]:
    async with staged() as running:
        yield running


@pytest.fixture
def second(platform: Callable[..., Any]) -> Callable[[str], Any]:
    """Another process' worth of the platform over the same database."""
    return lambda database_url: platform(plugins=PLUGINS, settings=SETTINGS, database_url=database_url)


@attrs.define(kw_only=True)
class ScimStage(Stage):
    """A stage whose tenant provisions with SCIM, too."""

    scim: str

    async def made(self, name: str, **more: Any) -> str:
        """A provisioned user's id."""
        made = await self.app.call("POST", "/v1/scim/v2/Users", self.scim, json={"userName": name, **more})
        assert made.status == 201, made.text
        return str(made.body["id"])


@pytest_asyncio.fixture
async def scim_stage(platform: Callable[..., Any], idp: OidcServer) -> AsyncIterator[ScimStage]:
    async with platform(plugins=(*PLUGINS, "scim"), settings=SETTINGS) as app:
        admin = await app.key("t1", user="boss")
        token = await app.call("POST", "/v1/admin/identity/scim/token/create", admin)
        yield ScimStage(app=app, idp=idp, admin=admin, scim=token.data["token"])
