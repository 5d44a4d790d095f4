"""The Oculus surface of OAuth: ``/oauth/*`` and the published keys."""

from datetime import timedelta
from typing import Final

import attrs
from ragwork_hooks.audit import AuditLog
from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import items, number, text
from ragwork_hooks.http import AnyRoute, Empty, File, Request, Response, Scheme
from ragwork_hooks.services import Services
from ragwork_toolkit.audit_records import origin_of
from ragwork_toolkit.routes import public_route, untransacted_route, write_route

from ragwork_agent_identity.agents.agent_events import agent_event
from ragwork_agent_identity.agents.agent_store import AgentStore, agent_not_found
from ragwork_agent_identity.agents.credentials import CredentialStore
from ragwork_agent_identity.answers import conditional, noted
from ragwork_agent_identity.error_formats import CLIENT_BASIC, OCULUS
from ragwork_agent_identity.oauth.client_authentication import ClientAuthenticator
from ragwork_agent_identity.oauth.grant_form import GrantForm
from ragwork_agent_identity.oauth.grants import CLIENT_CREDENTIALS, EXCHANGE, REFRESH, GrantRequest, Grants
from ragwork_agent_identity.oauth.introspection import Introspection
from ragwork_agent_identity.policies import scopes
from ragwork_agent_identity.tokens.signing_keys import Keyring
from ragwork_agent_identity.tokens.token_issuer import IssuedToken, invalid_credentials, standing
from ragwork_agent_identity.tokens.token_signing import Unverified
from ragwork_agent_identity.tokens.token_store import TokenStore
from ragwork_agent_identity.tokens.token_verifier import AccessTokenVerifier, IssuerUrl

_KEYS_AGE_S: Final = 300
_TENANT: Final = r"[A-Za-z0-9][A-Za-z0-9._:\-]*"
_API_KEY: Final = Scheme(name="apiKeyHeader", fields={"type": "apiKey", "in": "header", "name": "X-API-Key"})


@attrs.frozen(kw_only=True)
class TokenForm(GrantForm):
    """The fields of all grants; each takes its own."""

    #: The same as `scope`, as older SDKs call it.
    requested_scope: str | None = text(default=None, max_length=8192)
    #: What the token is for, noted with it.
    task_id: str | None = text(default=None, max_length=200)


@attrs.frozen(kw_only=True)
class DelegateRequest:
    """A part of one's own token for another agent."""

    #: The other agent. Example: "ag_7c2a"
    child_agent_id: str = text(min_length=1, max_length=64)
    #: Scopes to hand on, at most one's own. Example: ["documents:read"]
    capabilities: list[str] = items()
    #: What it is for, noted with it. Example: "task-1"
    task_id: str | None = text(default=None, max_length=200)
    #: How long it lives, at most as long as one's own. Example: 600
    ttl_seconds: int = number(ge=1, le=86_400)
    #: Further limits that it carries.
    additional_constraints: dict[str, object] | None = None


@attrs.frozen(kw_only=True)
class EnrollForm:
    """A token that makes a program an agent."""

    #: The token, good once. Example: "oet_…"
    enroll_token: str = text(max_length=200)


@attrs.frozen(kw_only=True)
class RevokedQuery:
    """Whose list."""

    #: Whose ids; without it everybody's, of which the list has the longest-lived of each tenant.
    tenant_id: str | None = text(default=None, min_length=1, max_length=128, pattern=_TENANT)


@attrs.frozen(kw_only=True)
class OneTokenForm:
    """A token."""

    #: Its text. Example: "eyJ…"
    token: str = text(min_length=1, max_length=16_384)


@attrs.frozen(kw_only=True)
class AgentTokenResponse:
    """A token, as RFC 6749 §5.1 has it, with what the SDKs need beside it."""

    #: Send it as `Authorization: Bearer`. Example: "eyJ…"
    access_token: str
    #: `Bearer`, or `DPoP` when it is bound to a key. Example: "Bearer"
    token_type: str
    #: Seconds that it lives. Example: 900
    expires_in: int
    #: What it carries, with spaces between. Example: "documents:read"
    scope: str
    #: What kind of token it is. Example: "urn:ietf:params:oauth:token-type:access_token"
    issued_token_type: str | None = None
    #: For the SDK's own calls. Example: "oct_sdk_…"
    sdk_service_token: str | None = None
    #: For a new token later, where the grant gives one. Example: "ort_live_…"
    refresh_token: str | None = None


@attrs.frozen(kw_only=True)
class KeySet:
    """Public keys, as RFC 7517 has them."""

    #: The keys.
    #: Example: [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]
    keys: list[dict[str, object]]


@attrs.frozen(kw_only=True, eq=False)
class OculusOAuth:
    """Handlers and declarations."""

    _services: Services
    _issuer: IssuerUrl
    _clients: ClientAuthenticator
    _grants: Grants
    _verifier: AccessTokenVerifier
    _introspection: Introspection
    _agents: AgentStore
    _credentials: CredentialStore
    _tokens: TokenStore
    _keys: Keyring
    _log: AuditLog | None

    def routes(self) -> tuple[AnyRoute, ...]:
        return (
            public_route(
                name="oauth.token", method="POST", path="/oauth/token",
                summary="Issue an agent's token: client credentials, refresh or token exchange",
                handler=self.token, response=AgentTokenResponse, body=TokenForm, body_kind="form", error_format=OCULUS,
                security=(CLIENT_BASIC,),
            ),
            public_route(
                name="oauth.delegate", method="POST", path="/oauth/delegate",
                summary="Delegate a part of an agent's token to another agent", handler=self.delegate,
                response=dict[str, object], body=DelegateRequest, error_format=OCULUS,
            ),
            public_route(
                name="oauth.enroll", method="POST", path="/oauth/enroll",
                summary="Exchange a one-time enroll token for client credentials", handler=self.enroll,
                response=dict[str, object], body=EnrollForm, body_kind="form", error_format=OCULUS,
            ),
            public_route(
                name="oauth.revoked_tokens", method="GET", path="/oauth/revoked-tokens",
                summary="The ids of unexpired revoked tokens", handler=self.revoked,
                response=dict[str, object], query=RevokedQuery, error_format=OCULUS,
            ),
            public_route(
                name="oauth.jwks", method="GET", path="/.well-known/jwks.json",
                summary="The public keys that verify agents' tokens", handler=self.jwks, response=KeySet,
                error_format=OCULUS,
            ),
            untransacted_route(
                name="oauth.introspect", method="POST", path="/oauth/introspect/v2",
                summary="Say whether a token of the tenant is active", handler=self.introspect,
                action=Action(name="agent_token.introspect", role=Role.ADMIN), rate_class="read",
                audit_event="oauth.token_introspected", response=dict[str, object], body=OneTokenForm,
                body_kind="form", error_format=OCULUS, security=(_API_KEY,),
            ),
            write_route(
                name="oauth.revoke", method="POST", path="/oauth/revoke",
                summary="Revoke a token of the tenant and all that came of it", handler=self.revoke,
                action=Action(name="agent_token.revoke", role=Role.ADMIN), audit_event="oauth.token_revoked",
                idempotency="accepted", response=dict[str, object], body=OneTokenForm, body_kind="form",
                error_format=OCULUS,
            ),
        )  # fmt: skip

    async def token(self, request: Request[TokenForm, Empty]) -> Response:
        form, issuer = request.body, self._issuer.of(request.headers)
        asked = GrantRequest(
            issuer=issuer,
            origin=origin_of(request),
            scope=form.scope or form.requested_scope,
            audience=form.audience,
            task_id=form.task_id,
        )
        if form.grant_type not in (CLIENT_CREDENTIALS, REFRESH, EXCHANGE):
            raise Problem("UNSUPPORTED_GRANT_TYPE", "this grant type is not served", status=400)
        agent = await self._clients.authenticate(request.headers, form, self._audiences(request))
        if form.grant_type == CLIENT_CREDENTIALS:
            return _reply(await self._grants.client_credentials(agent, asked))
        if form.grant_type == REFRESH:
            token = _given(form.refresh_token, "refresh_token")
            return _reply(await self._grants.refresh(token, agent, asked))
        subject = _given(form.subject_token, "subject_token")
        return _reply(await self._grants.exchange(agent, subject, form.subject_token_type, asked))

    def _audiences(self, request: Request[TokenForm, Empty]) -> tuple[str, ...]:
        known = self._issuer.audience(request.headers, request.peer)
        return () if known is None else (known, f"{known}/oauth/token")

    async def delegate(self, request: Request[DelegateRequest, Empty]) -> Response:
        asked = GrantRequest(
            issuer=self._issuer.of(request.headers), origin=origin_of(request), task_id=request.body.task_id
        )
        scheme, _, token = (request.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer":
            raise invalid_credentials("send the parent token as Authorization: Bearer")
        try:
            parent = await self._verifier.verify(token.strip(), request.peer)
        except Unverified as error:
            raise invalid_credentials(f"the parent token is refused: {error}") from error
        wanted = scopes.checked(request.body.capabilities)
        if not wanted:
            raise scopes.invalid_scope("capabilities must not be empty")
        child = await self._agents.snapshot(parent.agent.tenant_id, request.body.child_agent_id)
        if child is None:
            raise agent_not_found(request.body.child_agent_id)
        issued = await self._grants.delegate(
            child,
            parent,
            wanted,
            asked,
            proven=False,
            ttl_s=request.body.ttl_seconds,
            tighter=request.body.additional_constraints,
        )
        return _reply(issued)

    async def enroll(self, request: Request[EnrollForm, Empty]) -> Response:
        token = request.body.enroll_token
        tenant_id = await self._credentials.enrol_tenant(token)
        if tenant_id is None:
            raise invalid_credentials("the enroll token is unknown, used or past its end")
        async with self._services.db.tenant(tenant_id) as tx:
            enrolled = await self._credentials.enrolled(tx, token)
            if enrolled is None:
                raise invalid_credentials("the enroll token is unknown, used or past its end")
            agent_id, ends_by = enrolled
            standing(await self._agents.fresh(tx, agent_id), tenant_id)
            agent = await self._agents.locked(tx, agent_id)
            secret, ended = await self._agents.rotate_secret(tx, agent, timedelta(0), ends_by)
            for secret_id in ended:
                await self._tokens.end(tx, "credential", secret_id, "system_kill", "secret_replaced")
            if self._log is not None:
                await self._log.append(tx, agent_event("agent.enrolled", agent.id, origin_of(request)))
        return Response(
            data={"client_id": agent.client_id, "client_secret": secret.text, "agent_id": agent.id}
        )

    async def revoked(self, request: Request[Empty, RevokedQuery]) -> File:
        listed = await self._tokens.listed(request.query.tenant_id)
        return conditional(request, listed.document, listed.etag, 0)

    async def jwks(self, request: Request[Empty, Empty]) -> File:
        published = await self._keys.published()
        return conditional(request, published.document, published.etag, _KEYS_AGE_S)

    async def introspect(self, request: Request[OneTokenForm, Empty]) -> dict[str, object]:
        return await self._introspection.of(request.principal.tenant_id, request.body.token)

    async def revoke(self, request: Request[OneTokenForm, Empty]) -> Response:
        ended = await self._introspection.revoke(
            request.tx, request.body.token, None, request.principal.credential_id
        )
        return attrs.evolve(
            noted({"revoked": ended > 0}, "agent_token", "token", ended=ended), changed=ended > 0
        )


def _given(value: str | None, name: str) -> str:
    if not value:
        raise Problem("VALIDATION_ERROR", f"{name} is required for this grant type", status=400)
    return value


def _reply(issued: IssuedToken) -> Response:
    data: dict[str, object] = {
        "access_token": issued.access_token,
        "token_type": "DPoP" if issued.bound else "Bearer",
        "expires_in": issued.expires_in,
        "scope": " ".join(issued.scopes),
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "sdk_service_token": issued.sdk_token,
    }
    if issued.refresh_token is not None:
        data["refresh_token"] = issued.refresh_token
    return Response(data=data, headers={"Pragma": "no-cache"})
