"""The admin API of providers. A provider starts switched off; switching it off ends its sessions."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import attrs
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Directory, Role
from ragwork_hooks.authz import Action
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import choice, items, text
from ragwork_hooks.http import AnyRoute, Empty, Request, Response
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.paging import PageQuery
from ragwork_toolkit.patching import changes
from ragwork_toolkit.routes import read_route, untransacted_route, write_route
from ragwork_toolkit.rows import from_object

from ragwork_sso.feature_check import Entitled
from ragwork_sso.login import role_mapping
from ragwork_sso.login.return_urls import endpoint
from ragwork_sso.problems import invalid
from ragwork_sso.providers.jwks import ALGORITHMS
from ragwork_sso.providers.provider_check import Check, ProviderCheck
from ragwork_sso.providers.provider_store import IdentityProvider, ProviderFields, ProviderStore
from ragwork_sso.providers.secret_refs import ClientSecrets
from ragwork_sso.providers.trust import Trust
from ragwork_sso.sessions.session_store import SessionStore

_PATH: Final = "/v1/admin/identity/providers"
_ENDPOINTS: Final = ("auth_url", "token_url", "jwks_url")
_MAX_SCOPES: Final = 50
_READ: Final = Action(name="identity_provider.read", role=Role.ADMIN)
_WRITE: Final = Action(name="identity_provider.write", role=Role.ADMIN, makes_credential=True)


def _name(default: Any) -> Any:
    return text(default=default, min_length=1, max_length=128)


def _address(default: Any) -> Any:
    return text(default=default, min_length=1, max_length=2048)


def _client_id(default: Any) -> Any:
    return text(default=default, min_length=1, max_length=256, pattern=r"[\x21-\x7e]+")


def _role(default: Any) -> Any:
    return text(default=default, min_length=1, max_length=32)


@attrs.frozen(kw_only=True)
class IdentityProviderCreateRequest:
    """A tenant's identity provider."""

    #: `oidc`; `saml` is known and not served. Example: "oidc"
    type: str = choice("oidc", "saml")
    #: What people call it. Example: "Okta"
    name: str = _name(attrs.NOTHING)
    #: Its issuer, as its tokens say. Example: "https://example.okta.com/oauth2/default"
    issuer: str = _address(attrs.NOTHING)
    #: What it calls us. Example: "0oa123"
    client_id: str = _client_id(attrs.NOTHING)
    #: The name of the client secret; the secret itself is never stored. Example: "SSO_CLIENT_SECRET_T1"
    client_secret_ref: str = _name(attrs.NOTHING)
    #: Where people log in. Example: "https://example.okta.com/oauth2/default/v1/authorize"
    auth_url: str = _address(attrs.NOTHING)
    #: Where codes become tokens. Example: "https://example.okta.com/oauth2/default/v1/token"
    token_url: str = _address(attrs.NOTHING)
    #: Its public keys. Example: "https://example.okta.com/oauth2/default/v1/keys"
    jwks_url: str = _address(attrs.NOTHING)
    #: Scopes to ask for; null for `openid`, `profile` and `email`. Example: ["openid", "profile", "email",
    #: "groups"]
    scopes_json: list[str] | None = items(default=None)
    #: The role of who has no mapped one: reader, editor or admin. Example: "reader"
    default_role: str = _role(attrs.NOTHING)
    #: How claims become roles. Example: {"groups": {"Admins": "admin", "Editors": "editor"}}
    role_mapping_json: dict[str, object] | None = None
    #: Whether people who are not known yet are let in. Example: true
    jit_enabled: bool = False
    #: How its tokens may be signed; null for RS256. Example: ["RS256"]
    algorithms_json: list[str] | None = items(default=None)
    #: Whether its people are those that SCIM provisions. Example: true
    links_scim_users: bool = False


@attrs.frozen(kw_only=True)
class IdentityProviderPatchRequest:
    """What to change; what is absent or null stays."""

    #: What people call it. Example: "Okta"
    name: str | None = _name(None)
    #: Its issuer, as its tokens say.
    issuer: str | None = _address(None)
    #: What it calls us.
    client_id: str | None = _client_id(None)
    #: The name of the client secret; the secret itself is never stored.
    client_secret_ref: str | None = _name(None)
    #: Where people log in.
    auth_url: str | None = _address(None)
    #: Where codes become tokens.
    token_url: str | None = _address(None)
    #: Its public keys.
    jwks_url: str | None = _address(None)
    #: Scopes to ask for.
    scopes_json: list[str] | None = items(default=None)
    #: The role of who has no mapped one: reader, editor or admin.
    default_role: str | None = _role(None)
    #: How claims become roles.
    role_mapping_json: dict[str, object] | None = None
    #: Whether people who are not known yet are let in.
    jit_enabled: bool | None = None
    #: How its tokens may be signed.
    algorithms_json: list[str] | None = items(default=None)
    #: Whether its people are those that SCIM provisions. Example: true
    links_scim_users: bool | None = None


@attrs.frozen(kw_only=True)
class IdentityProviderSecretRotateRequest:
    """Another client secret."""

    #: The name of the new one. Example: "SSO_CLIENT_SECRET_T1"
    client_secret_ref: str = _name(attrs.NOTHING)


@attrs.frozen(kw_only=True)
class IdentityProviderResponse:
    """A tenant's identity provider."""

    #: The identity provider. Example: "7c2a1d34-9b0e-4b6f-8a57-2d4e6f8a1b3c"
    id: str
    #: The tenant. Example: "t1"
    tenant_id: str
    #: `oidc`; `saml` is known and not served. Example: "oidc"
    type: str
    #: What people call it. Example: "Okta"
    name: str
    #: Its issuer, as its tokens say. Example: "https://example.okta.com/oauth2/default"
    issuer: str
    #: What it calls us. Example: "0oa123"
    client_id: str
    #: The name of the client secret; the secret itself is never stored. Example: "SSO_CLIENT_SECRET_T1"
    client_secret_ref: str
    #: Where people log in. Example: "https://example.okta.com/oauth2/default/v1/authorize"
    auth_url: str
    #: Where codes become tokens. Example: "https://example.okta.com/oauth2/default/v1/token"
    token_url: str
    #: Its public keys. Example: "https://example.okta.com/oauth2/default/v1/keys"
    jwks_url: str
    #: Scopes to ask for; null for `openid`, `profile` and `email`. Example: ["openid", "profile", "email",
    #: "groups"]
    scopes_json: list[str] | None
    #: Whether people can log in with it. Example: true
    enabled: bool
    #: The role of who has no mapped one: reader, editor or admin. Example: "reader"
    default_role: str
    #: How claims become roles. Example: {"groups": {"Admins": "admin", "Editors": "editor"}}
    role_mapping_json: Mapping[str, object] | None
    #: Whether people who are not known yet are let in. Example: true
    jit_enabled: bool
    #: When it was made.
    created_at: datetime
    #: When it last changed.
    updated_at: datetime
    #: How its tokens may be signed. Example: ["RS256"]
    algorithms_json: list[str]
    #: Whether its people are those that SCIM provisions. Example: true
    links_scim_users: bool


@attrs.frozen(kw_only=True)
class IdentityProviderList:
    """Identity providers."""

    #: The providers.
    items: list[IdentityProviderResponse]


@attrs.frozen(kw_only=True)
class IdentityProviderTestResponse:
    """Whether a provider could be used as it is configured."""

    #: Whether every check passed. Example: true
    ok: bool
    #: The checks.
    checks: list[Check]


class ProviderApi:
    """Handlers and declarations of ``/v1/admin/identity/providers``."""

    def __init__(
        self,
        *,
        providers: ProviderStore,
        directory: Directory,
        sessions: SessionStore,
        secrets: ClientSecrets,
        check: ProviderCheck,
        entitled: Entitled,
        production: bool,
    ) -> None:
        self._providers = providers
        self._trust = Trust(providers, directory)
        self._sessions = sessions
        self._secrets = secrets
        self._check = check
        self._entitled = entitled
        self._production = production

    def routes(self) -> tuple[AnyRoute, ...]:
        one = f"{_PATH}/{{provider_id}}"
        response, feature = IdentityProviderResponse, self._entitled.feature
        return (
            read_route(
                name="identity.providers.list", path=_PATH, summary="Identity providers, oldest first",
                handler=self.list, action=_READ, feature=feature, response=IdentityProviderList,
                query=PageQuery, legacy=True,
            ),
            write_route(
                name="identity.providers.create", method="POST", path=_PATH,
                summary="Add an identity provider, switched off", handler=self.create, action=_WRITE,
                audit_event="identity.provider.created", idempotency="none", feature=feature, response=response,
                body=IdentityProviderCreateRequest, status=201,
                errors=("AUTH_INVALID_ROLE", "VALIDATION_ERROR", "CONFLICT"), legacy=True,
            ),
            write_route(
                name="identity.providers.patch", method="PATCH", path=one, summary="Change an identity provider",
                handler=self.patch, action=_WRITE, audit_event="identity.provider.updated", idempotency="none",
                feature=feature, response=response, body=IdentityProviderPatchRequest,
                errors=("AUTH_INVALID_ROLE", "VALIDATION_ERROR", "NOT_FOUND", "CONFLICT"), legacy=True,
            ),
            write_route(
                name="identity.providers.rotate_secret_ref", method="POST", path=f"{one}/rotate-secret-ref",
                summary="Name another client secret", handler=self.rotate, action=_WRITE,
                audit_event="identity.provider.updated", idempotency="none", feature=feature, response=response,
                body=IdentityProviderSecretRotateRequest, errors=("VALIDATION_ERROR", "NOT_FOUND"), legacy=True,
            ),
            write_route(
                name="identity.providers.enable", method="POST", path=f"{one}/enable",
                summary="Let people log in with it", handler=self.enable, action=_WRITE,
                audit_event="identity.provider.enabled", idempotency="none", feature=feature, response=response,
                errors=("AUTH_FORBIDDEN", "NOT_FOUND"), legacy=True,
            ),
            write_route(
                name="identity.providers.disable", method="POST", path=f"{one}/disable",
                summary="Switch it off and end its sessions", handler=self.disable, action=_WRITE,
                audit_event="identity.provider.disabled", idempotency="none", feature=feature, response=response,
                errors=("NOT_FOUND",), legacy=True,
            ),
            untransacted_route(
                name="identity.providers.test", method="POST", path=f"{one}/test",
                summary="Ask the provider for its documents and compare them with what is configured",
                handler=self.test, action=_WRITE, rate_class="mutation", audit_event=None, feature=feature,
                response=IdentityProviderTestResponse, errors=("NOT_FOUND",),
            ),
        )  # fmt: skip

    async def list(self, request: Request[Empty, PageQuery]) -> IdentityProviderList:
        # A tenant has a bounded number of providers.
        found = await self._providers.all(request.tx)
        return IdentityProviderList(items=[_response(each) for each in found[request.query.window]])

    async def create(self, request: Request[IdentityProviderCreateRequest, Empty]) -> Response:
        if request.body.type != "oidc":
            raise invalid("type", "only oidc providers can be added")
        fields = self._checked(request.tx, request.body)
        provider = await self._providers.create(
            request.tx, attrs.evolve(fields, algorithms=fields.algorithms or ("RS256",))
        )
        return _reply(provider, fields, status=201)

    async def patch(self, request: Request[IdentityProviderPatchRequest, Empty]) -> Response:
        fields = self._checked(request.tx, request.body)
        return _reply(await self._trust.change(request.tx, request.path["provider_id"], fields), fields)

    async def rotate(self, request: Request[IdentityProviderSecretRotateRequest, Empty]) -> Response:
        ref = request.body.client_secret_ref
        self._check_secret(request.tx, ref)
        fields = ProviderFields(client_secret_ref=ref)
        return _reply(await self._providers.change(request.tx, request.path["provider_id"], fields), fields)

    async def enable(self, request: Request[Empty, Empty]) -> Response:
        return await self._switch(request, on=True)

    async def disable(self, request: Request[Empty, Empty]) -> Response:
        return await self._switch(request, on=False)

    async def test(self, request: Request[Empty, Empty]) -> IdentityProviderTestResponse:
        checks = await self._check.run(request.principal.tenant_id, request.path["provider_id"])
        return IdentityProviderTestResponse(ok=all(check.ok for check in checks), checks=checks)

    async def _switch(self, request: Request[Empty, Empty], *, on: bool) -> Response:
        before = await self._providers.locked(request.tx, request.path["provider_id"])
        if (
            on
            and not before.enabled
            and not await self._trust.agreed(request.tx, before, request.principal.user_id)
        ):
            note = attrs.evolve(_note(before, {}), event="identity.provider.requested")
            return Response(data=_response(before), status=202, audit=note)
        provider = await self._providers.change(request.tx, before.id, ProviderFields(), enabled=on)
        ended = 0 if on else await self._sessions.revoke_all(request.tx, before.id)
        note = _note(provider, {"sessions_ended": ended})
        return Response(data=_response(provider), changed=before.enabled != on, audit=note)

    def _checked(
        self, tx: Transaction, body: IdentityProviderCreateRequest | IdentityProviderPatchRequest
    ) -> ProviderFields:
        """What ``body`` sets. ``Problem`` 400 for a role that is none, else 422 with the field."""
        if body.issuer is not None:
            endpoint("issuer", body.issuer, production=self._production, query=False)
        for field in _ENDPOINTS:
            if (url := getattr(body, field)) is not None:
                endpoint(field, url, production=self._production)
        if body.default_role is not None:
            _check_role(body.default_role)
        if body.role_mapping_json is not None:
            role_mapping.checked(body.role_mapping_json)
        _check_scopes(body.scopes_json)
        _check_algorithms(body.algorithms_json)
        if body.client_secret_ref is not None:
            self._check_secret(tx, body.client_secret_ref)
        named = {name.removesuffix("_json"): value for name, value in changes(body).items() if name != "type"}
        return ProviderFields(**named)

    def _check_secret(self, tx: Transaction, ref: str) -> None:
        if self._secrets.resolve(tx.tenant_id, ref) is None:
            raise invalid(
                "client_secret_ref",
                "is not the name of a secret that the operator keeps for this tenant: SSO_CLIENT_SECRET_…, or one that"
                " SSO_CLIENT_SECRET_NAMES lists",
            )


def _check_role(name: str) -> None:
    try:
        Role.parse(name)
    except ValueError as error:
        raise Problem("AUTH_INVALID_ROLE", f"default_role: {error}") from error


def _check_scopes(scopes: list[str] | None) -> None:
    if scopes is None:
        return
    # RFC 6749 §3.3: printable ASCII without space, quote and backslash.
    fine = all(
        0 < len(s) <= 256 and all(c == "!" or "#" <= c <= "~" for c in s) and "\\" not in s for s in scopes
    )
    if not fine or len(scopes) > _MAX_SCOPES:
        raise invalid("scopes_json", f"needs at most {_MAX_SCOPES} scopes, each a word of plain characters")


def _check_algorithms(algorithms: list[str] | None) -> None:
    if algorithms is not None and (not algorithms or not set(algorithms) <= set(ALGORITHMS)):
        raise invalid("algorithms_json", f"needs one or more of {', '.join(ALGORITHMS)}")


def _reply(provider: IdentityProvider, fields: ProviderFields, *, status: int = 200) -> Response:
    return Response(
        data=_response(provider), status=status, audit=_note(provider, {"fields": sorted(changes(fields))})
    )


def _note(provider: IdentityProvider, metadata: Mapping[str, object]) -> AuditDetails:
    return AuditDetails(resource_type="identity_provider", resource_id=provider.id, metadata=metadata)


def _response(provider: IdentityProvider) -> IdentityProviderResponse:
    return from_object(
        IdentityProviderResponse,
        provider,
        type="oidc",
        scopes_json=None if provider.scopes is None else [*provider.scopes],
        default_role=provider.default_role.label,
        role_mapping_json=provider.role_mapping,
        algorithms_json=[*provider.algorithms],
    )
