"""The routes of people who log in: providers, start, callback, exchange, me, logout."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import attrs
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Headers, Role
from ragwork_hooks.authz import Action
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import choice, identifier, text
from ragwork_hooks.http import AnyRoute, Empty, File, Request, Response
from ragwork_hooks.services import Services
from ragwork_toolkit.routes import public_route, read_route, untransacted_route, write_route
from ragwork_toolkit.rows import from_object

from ragwork_sso.feature_check import SSO, Entitled
from ragwork_sso.login.login_flow import CallbackParams, Login, Logins
from ragwork_sso.login.return_urls import ReturnAddresses, plain_authority
from ragwork_sso.people import account_store
from ragwork_sso.providers.provider_store import IdentityProvider, ProviderStore
from ragwork_sso.sessions.session_store import SessionStore

_CALLBACK: Final = "/v1/auth/sso/oidc/{provider_id}/callback"
_USE: Final = Action(name="sso_session.use", role=Role.READER)
_LIST: Final = Action(name="sso_provider.list", role=Role.READER)

#: Of a parameter of the callback.
_LONGEST: Final = 4096


@attrs.frozen(kw_only=True)
class ProvidersQuery:
    """Whose providers."""

    #: Your tenant, or any where discovery is public.
    tenant_id: str | None = identifier(default=None)


@attrs.frozen(kw_only=True)
class StartQuery:
    """How to begin a login."""

    #: Where to go afterwards; its host must be allowed.
    return_to: str | None = text(default=None, min_length=1, max_length=2048)
    #: `json` gives the address to go to, `redirect` goes there.
    response_mode: str = choice("json", "redirect", default="json")


@attrs.frozen(kw_only=True)
class SsoExchangeRequest:
    """A one-time code of a login."""

    #: The code that came with the return. Example: "c_1f2e3d4c"
    code: str = text(min_length=1, max_length=128)


@attrs.frozen(kw_only=True)
class SsoProviderSummary:
    """An identity provider, as people who log in see it."""

    #: The identity provider. Example: "7c2a1d34-9b0e-4b6f-8a57-2d4e6f8a1b3c"
    id: str
    #: What people call it. Example: "Okta"
    name: str
    #: `oidc`. Example: "oidc"
    type: str
    #: Its issuer. Example: "https://example.okta.com/oauth2/default"
    issuer: str
    #: Where people log in. Example: "https://example.okta.com/oauth2/default/v1/authorize"
    auth_url: str
    #: What is asked for; null for the usual. Example: ["openid", "profile", "email"]
    scopes: list[str] | None
    #: Whether people who are not known yet are let in. Example: true
    jit_enabled: bool


@attrs.frozen(kw_only=True)
class SsoProviderList:
    """Identity providers."""

    #: The providers.
    items: list[SsoProviderSummary]


@attrs.frozen(kw_only=True)
class SsoStartResponse:
    """Where to log in."""

    #: The address, good for one login. Example:
    #: "https://example.okta.com/oauth2/default/v1/authorize?client_id=0oa123&state=…"
    authorize_url: str


@attrs.frozen(kw_only=True)
class SsoLoginResponse:
    """A session."""

    #: The tenant. Example: "t1"
    tenant_id: str
    #: The identity provider. Example: "7c2a1d34-9b0e-4b6f-8a57-2d4e6f8a1b3c"
    provider_id: str
    #: The person. Example: "0d9c8b7a-6f5e-4d3c-8b2a-1f0e9d8c7b6a"
    user_id: str
    #: The role: reader, editor or admin. Example: "reader"
    role: str
    #: Send it as `Authorization: Bearer`; shown once. Example: "nrgss_3f9a_…"
    session_token: str
    #: When it ends.
    expires_at: datetime


@attrs.frozen(kw_only=True)
class SsoMeResponse:
    """Who is logged in."""

    #: The tenant. Example: "t1"
    tenant_id: str
    #: The person. Example: "0d9c8b7a-6f5e-4d3c-8b2a-1f0e9d8c7b6a"
    user_id: str
    #: The role. Example: "reader"
    role: str
    #: The address that the provider gave. Example: "ada@example.com"
    email: str | None
    #: What people call them. Example: "Ada"
    display_name: str | None
    #: The session. Example: "3f9a"
    session_id: str
    #: The identity provider. Example: "7c2a1d34-9b0e-4b6f-8a57-2d4e6f8a1b3c"
    provider_id: str
    #: When the session ends.
    expires_at: datetime


class LoginApi:
    """Handlers and declarations of ``/v1/auth/sso``."""

    def __init__(
        self,
        services: Services,
        *,
        logins: Logins,
        providers: ProviderStore,
        sessions: SessionStore,
        entitled: Entitled,
        returns: ReturnAddresses,
        base_url: str | None,
        public_discovery: bool,
    ) -> None:
        self._services = services
        self._logins = logins
        self._providers = providers
        self._sessions = sessions
        self._entitled = entitled
        self._returns = returns
        self._base_url = base_url
        self._public_discovery = public_discovery

    def routes(self) -> tuple[AnyRoute, ...]:
        return (
            self._discovery(),
            public_route(
                name="sso.start", method="GET", path="/v1/auth/sso/oidc/{provider_id}/start",
                summary="Begin a login", handler=self.start, response=SsoStartResponse, query=StartQuery,
                errors=("BAD_REQUEST",), legacy=True,
            ),
            public_route(
                name="sso.callback", method="GET", path=_CALLBACK,
                summary="Where the provider sends the browser back to", handler=self.callback,
                response=SsoLoginResponse, query=dict, errors=("AUTH_FORBIDDEN",), legacy=True,
            ),
            public_route(
                name="sso.exchange", method="POST", path="/v1/auth/sso/oidc/{provider_id}/exchange",
                summary="Turn the one-time code of a redirect into a session", handler=self.exchange,
                response=SsoLoginResponse, body=SsoExchangeRequest, errors=("AUTH_FORBIDDEN",),
            ),
            read_route(
                name="sso.me", path="/v1/auth/sso/me", summary="Who this session is", handler=self.me,
                action=_USE, response=SsoMeResponse, errors=("NOT_FOUND",),
            ),
            write_route(
                name="sso.logout", method="POST", path="/v1/auth/sso/logout", summary="End this session",
                handler=self.logout, action=_USE, audit_event="identity.sso.logout", idempotency="none",
                response=None, status=204, errors=("NOT_FOUND",),
            ),
        )  # fmt: skip

    def _discovery(self) -> AnyRoute:
        path = "/v1/auth/sso/providers"
        if self._public_discovery:
            return public_route(
                name="sso.providers", method="GET", path=path, summary="The providers of a tenant",
                handler=self.list, response=SsoProviderList, query=ProvidersQuery, errors=("AUTH_FORBIDDEN",),
                legacy=True,
            )  # fmt: skip
        return untransacted_route(
            name="sso.providers", method="GET", path=path, summary="The providers of the caller's tenant",
            handler=self.list, action=_LIST, rate_class="read", audit_event=None, response=SsoProviderList,
            query=ProvidersQuery, errors=("AUTH_FORBIDDEN",), legacy=True,
        )  # fmt: skip

    async def list(self, request: Request[Empty, ProvidersQuery]) -> SsoProviderList:
        self._entitled.check_enabled()
        tenant_id = request.caller.tenant_id if request.caller else request.query.tenant_id
        if tenant_id is None:
            raise Problem("AUTH_FORBIDDEN", "say whose providers: ?tenant_id=…")
        await self._entitled.check(tenant_id, SSO)
        async with self._services.db.tenant(tenant_id, "read") as tx:
            found = await self._providers.all(tx, only_enabled=True)
        return SsoProviderList(items=[_summary(each) for each in found])

    async def start(self, request: Request[Empty, StartQuery]) -> Response | File:
        self._entitled.check_enabled()
        sent = request.query.return_to
        return_to = None if sent is None else self._returns.check(sent)
        provider_id = request.path["provider_id"]
        redirect_uri = self._origin(request.headers) + _CALLBACK.format(provider_id=provider_id)
        address, cookie = await self._logins.start(provider_id, redirect_uri, return_to)
        if request.query.response_mode == "redirect":
            return _redirect(307, address, {"Set-Cookie": cookie})
        return Response(data=SsoStartResponse(authorize_url=address), headers={"Set-Cookie": cookie})

    async def callback(self, request: Request[Empty, dict[str, str]]) -> SsoLoginResponse | File:
        """Parameters that the standards don't name are ignored (RFC 6749 §4.1.2)."""
        sent = {name: value[:_LONGEST] for name, value in request.query.items()}
        if not sent.get("state") or not (sent.get("code") or sent.get("error")):
            raise Problem("REQUEST_VALIDATION_ERROR", "the provider sends a state, and a code or an error")
        returned = CallbackParams(
            state=sent["state"], code=sent.get("code"), issuer=sent.get("iss"), error=sent.get("error")
        )
        login = await self._logins.finish(request, request.path["provider_id"], returned)
        # 303: the next request is a GET, whatever this one was.
        return _response(login) if login.location is None else _redirect(303, login.location, {})

    async def exchange(self, request: Request[SsoExchangeRequest, Empty]) -> SsoLoginResponse:
        return _response(await self._logins.redeem(request, request.path["provider_id"], request.body.code))

    async def me(self, request: Request[Empty, Empty]) -> SsoMeResponse:
        principal = request.principal
        session = await self._sessions.lookup.find(principal.credential_id)
        if session is None:
            raise _no_session()
        account = await account_store.of_user(request.tx, principal.user_id)
        return SsoMeResponse(
            tenant_id=principal.tenant_id,
            user_id=principal.user_id,
            role=principal.role.label,
            email=account.email if account else None,
            display_name=account.display_name if account else None,
            session_id=session.id,
            provider_id=session.provider_id,
            expires_at=session.expires_at,
        )

    async def logout(self, request: Request[Empty, Empty]) -> Response:
        principal = request.principal
        if principal.kind != "sso_session":
            raise _no_session()
        await self._sessions.revoke(request.tx, principal.credential_id)
        note = AuditDetails(resource_type="sso_session", resource_id=principal.credential_id)
        return Response(status=204, audit=note)

    def _origin(self, headers: Headers) -> str:
        """Where the provider finds this server again; a client's own word on it only on a developer's machine."""
        if self._base_url is not None:
            return self._base_url
        host = headers.get("host") or ""
        if self._services.profile == "production" or not plain_authority(host):
            raise Problem("SERVICE_UNAVAILABLE", "the operator has not set SSO_BASE_URL")
        return f"http://{host}"


def _redirect(status: int, address: str, headers: Mapping[str, str]) -> File:
    return File(data=b"", mime="text/plain", status=status, headers={"Location": address, **headers})


def _response(login: Login) -> SsoLoginResponse:
    assert login.session is not None  # a login without an address to go to has one
    return SsoLoginResponse(
        tenant_id=login.tenant_id,
        provider_id=login.provider_id,
        user_id=login.user.id,
        role=login.user.role.label,
        session_token=login.session.token,
        expires_at=login.session.expires_at,
    )


def _no_session() -> Problem:
    return Problem("NOT_FOUND", "this credential is no session of single sign-on")


def _summary(provider: IdentityProvider) -> SsoProviderSummary:
    scopes = None if provider.scopes is None else [*provider.scopes]
    return from_object(SsoProviderSummary, provider, type="oidc", scopes=scopes)
