"""The strict surface: RFC 6749, 7009, 7662, 8414, 8693 with RFC 7523 client assertions and RFC 9449 proofs."""

from typing import Final

import attrs
from ragwork_hooks.audit import AuditEvent, AuditLog
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import text
from ragwork_hooks.http import AnyRoute, Empty, Request, Response
from ragwork_hooks.services import Services
from ragwork_toolkit.audit_records import origin_of
from ragwork_toolkit.routes import public_route

from ragwork_agent_identity.agents.agent_store import Snapshot
from ragwork_agent_identity.error_formats import CLIENT_BASIC, Rfc6749
from ragwork_agent_identity.oauth.client_authentication import ClientAuthenticator
from ragwork_agent_identity.oauth.dpop import ALGORITHMS, Proofs
from ragwork_agent_identity.oauth.grant_form import GrantForm
from ragwork_agent_identity.oauth.grants import (
    ACCESS_TOKEN_TYPE,
    CLIENT_CREDENTIALS,
    EXCHANGE,
    REFRESH,
    GrantRequest,
    Grants,
)
from ragwork_agent_identity.oauth.introspection import Introspection
from ragwork_agent_identity.oauth.oculus_oauth_routes import AgentTokenResponse
from ragwork_agent_identity.tokens import token_signing
from ragwork_agent_identity.tokens.token_issuer import IssuedToken
from ragwork_agent_identity.tokens.token_verifier import IssuerUrl

_RFC: Final = Rfc6749()
_TOKEN: Final = "/oauth2/token"  # noqa: S105  # a path
_INTROSPECT: Final = "/oauth2/introspect"
_REVOKE: Final = "/oauth2/revoke"
_METHODS: Final = ("client_secret_basic", "client_secret_post", "private_key_jwt")


@attrs.frozen(kw_only=True)
class StrictTokenForm(GrantForm):
    """The fields of all grants; each takes its own."""

    #: The same as `audience`, as RFC 8707 calls it.
    resource: str | None = text(default=None, max_length=512)
    #: With an exchange: what to get.
    requested_token_type: str | None = text(default=None, max_length=200)
    #: Refused: an agent acts as itself.
    actor_token: str | None = text(default=None, max_length=16_384)


@attrs.frozen(kw_only=True)
class PresentedForm:
    """A token, and who presents it."""

    #: Its text. Example: "eyJ…"
    token: str = text(min_length=1, max_length=16_384)
    #: `access_token` or `refresh_token`.
    token_type_hint: str | None = text(default=None, max_length=100)
    #: The agent; absent with Basic. Example: "oc_3f9a"
    client_id: str | None = text(default=None, max_length=200)
    #: Its secret; absent with Basic or an assertion. Example: "cs_live_…"
    client_secret: str | None = text(default=None, max_length=500)
    #: A JWT that it signed, instead of a secret.
    client_assertion: str | None = text(default=None, max_length=16_384)
    #: `urn:ietf:params:oauth:client-assertion-type:jwt-bearer` with an assertion.
    client_assertion_type: str | None = text(default=None, max_length=200)


@attrs.frozen(kw_only=True, eq=False)
class StrictOAuth:
    """Handlers and declarations of ``/oauth2/*`` and the metadata."""

    _services: Services
    _issuer: IssuerUrl
    _clients: ClientAuthenticator
    _grants: Grants
    _introspection: Introspection
    _proofs: Proofs
    _log: AuditLog | None

    def routes(self) -> tuple[AnyRoute, ...]:
        answer = dict[str, object]
        return (
            public_route(
                name="oauth2.metadata", method="GET", path="/.well-known/oauth-authorization-server",
                summary="Metadata of the authorization server (RFC 8414)", handler=self.metadata,
                response=answer, error_format=_RFC,
            ),
            public_route(
                name="oauth2.token", method="POST", path=_TOKEN, summary="Issue a token", handler=self.token,
                response=AgentTokenResponse, body=StrictTokenForm, body_kind="form", error_format=_RFC,
                security=(CLIENT_BASIC,),
            ),
            public_route(
                name="oauth2.introspect", method="POST", path=_INTROSPECT,
                summary="Introspect a token (RFC 7662)", handler=self.introspect, response=answer,
                body=PresentedForm, body_kind="form", error_format=_RFC, security=(CLIENT_BASIC,),
            ),
            public_route(
                name="oauth2.revoke", method="POST", path=_REVOKE, summary="Revoke a token (RFC 7009)",
                handler=self.revoke, response=answer, body=PresentedForm, body_kind="form", error_format=_RFC,
                security=(CLIENT_BASIC,),
            ),
        )  # fmt: skip

    async def metadata(self, request: Request[Empty, Empty]) -> Response:
        issuer = self._issuer.of(request.headers)
        algorithms = list(token_signing.CLIENT_ALGORITHMS)
        document: dict[str, object] = {
            "issuer": issuer,
            "token_endpoint": issuer + _TOKEN,
            "jwks_uri": f"{issuer}/.well-known/jwks.json",
            "introspection_endpoint": issuer + _INTROSPECT,
            "revocation_endpoint": issuer + _REVOKE,
            "response_types_supported": [],
            "grant_types_supported": [CLIENT_CREDENTIALS, REFRESH, EXCHANGE],
            "dpop_signing_alg_values_supported": list(ALGORITHMS),
        }
        for endpoint in ("token", "introspection", "revocation"):
            document[f"{endpoint}_endpoint_auth_methods_supported"] = list(_METHODS)
            document[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] = algorithms
        return Response(data=document, headers={"Cache-Control": "public, max-age=300"})

    async def token(self, request: Request[StrictTokenForm, Empty]) -> Response:
        form, issuer = request.body, self._issuer.of(request.headers)
        if form.grant_type not in (CLIENT_CREDENTIALS, REFRESH, EXCHANGE):
            raise Problem("UNSUPPORTED_GRANT_TYPE", "this grant type is not served", status=400)
        agent = await self._client(request, _TOKEN)
        known = self._issuer.audience(request.headers, request.peer)
        jkt = await self._proofs.thumbprint(request.headers, None if known is None else known + _TOKEN)
        asked = GrantRequest(
            issuer=issuer,
            origin=origin_of(request),
            scope=form.scope,
            audience=_target(form),
            jkt=jkt,
            strict=True,
        )
        issued = await self._granted(agent, form, asked)
        headers = {"Pragma": "no-cache"} | ({} if jkt is None else {"DPoP-Nonce": self._proofs.nonce()})
        return Response(data=_answer(issued, form), headers=headers)

    async def introspect(self, request: Request[PresentedForm, Empty]) -> dict[str, object]:
        client = await self._client(request, _INTROSPECT)
        await self._record(request, client, "oauth.token_introspected", {})
        return await self._introspection.of(client.tenant_id, request.body.token)

    async def revoke(self, request: Request[PresentedForm, Empty]) -> dict[str, object]:
        client = await self._client(request, _REVOKE)
        async with self._services.db.tenant(client.tenant_id) as tx:
            ended = await self._introspection.revoke(tx, request.body.token, client, client.id)
            if self._log is not None:
                await self._log.append(
                    tx, self._event(request, client, "oauth.token_revoked", {"ended": ended})
                )
        return {}

    async def _granted(self, agent: Snapshot, form: StrictTokenForm, asked: GrantRequest) -> IssuedToken:
        if form.grant_type == CLIENT_CREDENTIALS:
            return await self._grants.client_credentials(agent, asked)
        if form.grant_type == REFRESH:
            return await self._grants.refresh(_given(form.refresh_token, "refresh_token"), agent, asked)
        if form.requested_token_type not in (None, ACCESS_TOKEN_TYPE):
            raise Problem("VALIDATION_ERROR", "only access tokens are issued", status=400)
        if form.actor_token is not None:
            raise Problem(
                "VALIDATION_ERROR", "the authenticated client is the actor; send no actor_token", status=400
            )
        subject = _given(form.subject_token, "subject_token")
        return await self._grants.exchange(
            agent, subject, _given(form.subject_token_type, "subject_token_type"), asked
        )

    async def _client(
        self, request: Request[StrictTokenForm, Empty] | Request[PresentedForm, Empty], path: str
    ) -> Snapshot:
        known = self._issuer.audience(request.headers, request.peer)
        audiences = () if known is None else (known, known + _TOKEN, known + path)
        try:
            return await self._clients.authenticate(request.headers, request.body, audiences)
        except Problem as problem:
            if problem.status == 401:
                problem.headers = {**problem.headers, "WWW-Authenticate": 'Basic realm="oauth2"'}
            raise

    async def _record(
        self, request: Request[PresentedForm, Empty], client: Snapshot, name: str, metadata: dict[str, object]
    ) -> None:
        if self._log is not None:
            async with self._services.db.tenant(client.tenant_id) as tx:
                await self._log.append(tx, self._event(request, client, name, metadata))

    @staticmethod
    def _event(
        request: Request[PresentedForm, Empty], client: Snapshot, name: str, metadata: dict[str, object]
    ) -> AuditEvent:
        return AuditEvent(
            type=name,
            outcome="success",
            actor_type="agent",
            actor_id=client.id,
            resource_type="agent_token",
            metadata=metadata,
            origin=origin_of(request),
        )


def _target(form: StrictTokenForm) -> str | None:
    """RFC 8707 and 8693 name the same thing twice; two different ones are one too many."""
    if form.resource and form.audience and form.resource != form.audience:
        raise Problem("INVALID_TARGET", "resource and audience differ; one target is issued for", status=400)
    if form.resource and ("#" in form.resource or ":" not in form.resource):
        raise Problem("INVALID_TARGET", "resource must be an absolute URI without a fragment", status=400)
    return form.resource or form.audience


def _given(value: str | None, name: str) -> str:
    if not value:
        raise Problem("VALIDATION_ERROR", f"{name} is required for this grant type", status=400)
    return value


def _answer(issued: IssuedToken, form: StrictTokenForm) -> dict[str, object]:
    data: dict[str, object] = {
        "access_token": issued.access_token,
        "token_type": "DPoP" if issued.bound else "Bearer",
        "expires_in": issued.expires_in,
        "scope": " ".join(issued.scopes),
    }
    if form.grant_type == EXCHANGE:
        data["issued_token_type"] = ACCESS_TOKEN_TYPE
    if issued.refresh_token is not None:
        data["refresh_token"] = issued.refresh_token
    return data
