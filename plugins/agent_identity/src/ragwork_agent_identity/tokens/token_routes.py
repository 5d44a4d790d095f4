"""``/api/v1/tokens`` and ``/api/v1/signing-keys``: the inspector, history, certificates, rotation, compromise."""

import asyncio
from datetime import datetime
from typing import Any, Final

import attrs
from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import choice, items, number, text
from ragwork_hooks.http import AnyRoute, Empty, Request, Response
from ragwork_hooks.services import Services
from ragwork_toolkit.paging import PageQuery
from ragwork_toolkit.routes import read_route, write_route
from ragwork_toolkit.rows import from_object

from ragwork_agent_identity.agents.agent_store import AgentStore
from ragwork_agent_identity.answers import noted
from ragwork_agent_identity.error_formats import OCULUS
from ragwork_agent_identity.oauth.delegation_store import Delegations
from ragwork_agent_identity.policies import scopes
from ragwork_agent_identity.tokens.signing_keys import Keyring
from ragwork_agent_identity.tokens.token_store import TokenStore, TokenView
from ragwork_agent_identity.tokens.token_verifier import IssuerUrl

_TOKENS: Final = "/api/v1/tokens"
_KEYS: Final = "/api/v1/signing-keys"
_DELEGATIONS: Final = "/api/v1/delegations"
_READ: Final = Action(name="agent_token.read", role=Role.ADMIN)
_MANAGE_KEYS: Final = Action(name="agent_key.manage", role=Role.ADMIN)
_DELEGATE: Final = Action(name="agent_delegation.manage", role=Role.READER)
_CERTIFICATE_TYP: Final = "revocation-certificate+jwt"
_SUBJECT_TYPE: Final = "urn:ietf:params:oauth:token-type:jwt"
_MAX_DELEGATION_S: Final = 28_800


@attrs.frozen(kw_only=True)
class TokensQuery(PageQuery):
    """Which tokens to list."""

    #: Only tokens of this agent.
    agent_id: str | None = text(default=None, max_length=64)


@attrs.frozen(kw_only=True)
class HistoryQuery(TokensQuery):
    """Which ended tokens to list."""

    #: Only those that ended for this reason.
    termination_reason: str | None = choice(
        "expired", "manual_revocation", "system_kill", "key_compromised", default=None
    )


@attrs.frozen(kw_only=True)
class DelegationCreate:
    """What a person lets an agent do for them."""

    #: The agent. Example: "ag_3f9a"
    agent_id: str = text(min_length=1, max_length=64)
    #: What it may do, at most what the person may. Example: ["documents:read"]
    scopes: list[str] = items()
    #: For how long. Example: 3600
    ttl_seconds: int = number(default=3600, ge=60, le=_MAX_DELEGATION_S)


@attrs.frozen(kw_only=True)
class TokenResponse:
    """A token as it was issued."""

    #: The token's claim `jti`. Example: "tok_9b1d"
    jti: str
    #: The agent. Example: "ag_3f9a"
    agent_id: str
    #: The key that signed it. Example: "k1"
    kid: str
    #: How it was asked for. Example: "client_credentials"
    grant_type: str
    #: What it carries. Example: ["documents:read"]
    scopes: list[str]
    #: Whom it is for. Example: "ragwork"
    audience: str
    #: The task that it was asked for; null for none. Example: null
    task_id: str | None
    #: The token that it descends from; null for none. Example: null
    parent_jti: str | None
    #: How many agents stand between it and its origin. Example: 0
    delegation_depth: int
    #: The person that it acts for; null for none. Example: null
    on_behalf_of: str | None
    #: Whether its life was asked for. Example: false
    custom_ttl: bool
    #: When it was issued.
    issued_at: datetime
    #: When it ends.
    expires_at: datetime
    #: When it was ended before its time; null if it was not. Example: null
    terminated_at: datetime | None
    #: Who ended it. Example: null
    terminated_by: str | None
    #: Why. Example: null
    termination_reason: str | None


@attrs.frozen(kw_only=True)
class TokenList:
    """A page of tokens."""

    #: What stands on this page.
    tokens: list[TokenResponse]
    #: How many it holds at most. Example: 50
    limit: int
    #: How many were skipped. Example: 0
    offset: int


class TokensApi:
    """Handlers and declarations."""

    def __init__(
        self,
        services: Services,
        *,
        tokens: TokenStore,
        agents: AgentStore,
        keys: Keyring,
        delegations: Delegations,
        issuer: IssuerUrl,
    ) -> None:
        self._services = services
        self._tokens = tokens
        self._agents = agents
        self._keys = keys
        self._delegations = delegations
        self._issuer = issuer

    def routes(self) -> tuple[AnyRoute, ...]:
        return (*self._token_routes(), *self._key_routes(), *self._delegation_routes())

    def _token_routes(self) -> tuple[AnyRoute, ...]:
        answer = dict[str, Any]
        return (
            read_route(
                name="tokens.list", path=_TOKENS, summary="Live tokens, newest first", handler=self.live,
                action=_READ, response=TokenList, query=TokensQuery, error_format=OCULUS,
            ),
            read_route(
                name="tokens.history", path=_TOKENS + "/history",
                summary="Every token ever issued and why it ended", handler=self.history, action=_READ,
                response=TokenList, query=HistoryQuery, error_format=OCULUS,
            ),
            write_route(
                name="tokens.revoke", method="POST", path=_TOKENS + "/{jti}/revoke",
                summary="Revoke one token and all delegated from it", handler=self.revoke,
                action=Action(name="agent_token.revoke", role=Role.ADMIN), audit_event="oauth.token_revoked",
                idempotency="accepted", response=TokenResponse, error_format=OCULUS,
            ),
            read_route(
                name="tokens.certificate", path=_TOKENS + "/{jti}/certificate",
                summary="A signed statement of a token's revocation", handler=self.certificate, action=_READ,
                response=answer, error_format=OCULUS,
            ),
        )  # fmt: skip

    def _key_routes(self) -> tuple[AnyRoute, ...]:
        return (
            read_route(
                name="signing_keys.list", path=_KEYS, summary="Signing keys, newest first", handler=self.keys,
                action=_MANAGE_KEYS, response=dict[str, Any], query=PageQuery, error_format=OCULUS,
            ),
            write_route(
                name="signing_keys.rotate", method="POST", path=_KEYS + "/rotate",
                summary="Sign with the next key from now on; tokens of the old stay valid",
                handler=self.rotate, action=attrs.evolve(_MANAGE_KEYS, makes_credential=True),
                audit_event="signing_key.rotated", idempotency="accepted", response=dict[str, Any],
                error_format=OCULUS,
            ),
            write_route(
                name="signing_keys.compromise", method="POST", path=_KEYS + "/{kid}/compromise",
                summary="Give a key up and revoke everything it signed", handler=self.compromise,
                action=_MANAGE_KEYS, audit_event="signing_key.compromised", idempotency="accepted",
                response=dict[str, Any], error_format=OCULUS,
            ),
        )  # fmt: skip

    def _delegation_routes(self) -> tuple[AnyRoute, ...]:
        return (
            write_route(
                name="delegations.create", method="POST", path=_DELEGATIONS,
                summary="Let an agent act in your name: a subject token for it to exchange",
                handler=self.delegate, action=attrs.evolve(_DELEGATE, makes_credential=True),
                audit_event="delegation.created", idempotency="accepted", response=dict[str, Any],
                body=DelegationCreate, status=201, error_format=OCULUS,
            ),
            read_route(
                name="delegations.list", path=_DELEGATIONS,
                summary="Your delegations; everybody's for an administrator", handler=self.delegated,
                action=_DELEGATE, response=dict[str, Any], query=PageQuery, error_format=OCULUS,
            ),
            write_route(
                name="delegations.revoke", method="DELETE", path=_DELEGATIONS + "/{delegation_id}",
                summary="End a delegation and every token that came of it", handler=self.end_delegation,
                action=_DELEGATE, audit_event="delegation.revoked", idempotency="accepted",
                response=dict[str, Any], error_format=OCULUS,
            ),
        )  # fmt: skip

    async def live(self, request: Request[Empty, TokensQuery]) -> dict[str, Any]:
        return await self._page(request, live=True, reason=None)

    async def history(self, request: Request[Empty, HistoryQuery]) -> dict[str, Any]:
        return await self._page(request, live=False, reason=request.query.termination_reason)

    async def revoke(self, request: Request[Empty, Empty]) -> Response:
        token = await self._tokens.must(request.tx, request.path["jti"])
        who = request.principal.credential_id
        ended = await self._tokens.end(request.tx, "jti", token.jti, "manual_revocation", who)
        after = await self._tokens.must(request.tx, token.jti)
        return attrs.evolve(noted(_response(after), "agent_token", token.jti, ended=ended), changed=ended > 0)

    async def certificate(self, request: Request[Empty, Empty]) -> dict[str, Any]:
        token = await self._tokens.must(request.tx, request.path["jti"])
        if token.ended_at is None:
            raise Problem("CONFLICT", "the token was not revoked")
        signer = await self._keys.signer(request.tx.tenant_id)
        shown = attrs.asdict(_response(token))
        said = {name: v.isoformat() if isinstance(v, datetime) else v for name, v in shown.items()}
        claims = {
            "iss": self._issuer.of(request.headers),
            "sub": token.jti,
            "iat": int(self._services.clock.now().timestamp()),
            "tenant_id": request.tx.tenant_id,
            "revocation": said,
        }
        certificate = await asyncio.to_thread(signer.sign, claims, _CERTIFICATE_TYP)
        return {"certificate": certificate, "kid": signer.kid, "token": _response(token)}

    async def keys(self, request: Request[Empty, PageQuery]) -> dict[str, Any]:
        query = request.query
        return {"keys": await self._keys.page(request.tx, limit=query.limit, offset=query.offset)}

    async def rotate(self, request: Request[Empty, Empty]) -> Response:
        kid = await self._keys.rotate(request.tx)
        return noted({"kid": kid}, "signing_key", kid)

    async def compromise(self, request: Request[Empty, Empty]) -> Response:
        kid = request.path["kid"]
        await self._keys.compromise(request.tx, kid)
        who = request.principal.credential_id
        ended = await self._tokens.end(request.tx, "kid", kid, "key_compromised", who)
        return noted({"kid": kid, "tokens_revoked": ended}, "signing_key", kid, ended=ended)

    async def delegate(self, request: Request[DelegationCreate, Empty]) -> Response:
        agent = await self._agents.get(request.tx, request.body.agent_id)
        wanted = scopes.checked(request.body.scopes)
        if not wanted:
            raise scopes.invalid_scope("scopes must not be empty")
        token, record = await self._delegations.create(
            request.tx,
            request.principal,
            issuer=self._issuer.of(request.headers),
            agent_id=agent.id,
            scopes=wanted,
            ttl_s=request.body.ttl_seconds,
        )
        said: dict[str, Any] = {
            **attrs.asdict(record),
            "expires_in": int((record.expires_at - record.created_at).total_seconds()),
            "subject_token_type": _SUBJECT_TYPE,
        }
        shown = {**said, "subject_token": token}
        reply = noted(
            shown, "delegation", record.id, replay={**said, "subject_token": None}, agent_id=agent.id
        )
        return attrs.evolve(reply, status=201)

    async def delegated(self, request: Request[Empty, PageQuery]) -> dict[str, Any]:
        whose = _whose(request)
        page = await self._delegations.page(request.tx, whose, request.query.limit, request.query.offset)
        return {"delegations": list(page), "limit": request.query.limit, "offset": request.query.offset}

    async def end_delegation(self, request: Request[Empty, Empty]) -> Response:
        delegation_id, who = request.path["delegation_id"], request.principal.credential_id
        ended = await self._delegations.revoke(request.tx, delegation_id, _whose(request), who)
        return noted(attrs.asdict(ended), "delegation", delegation_id)

    async def _page(self, request: Request[Any, Any], *, live: bool, reason: str | None) -> dict[str, Any]:
        query = request.query
        if query.agent_id is not None:
            await self._agents.get(request.tx, query.agent_id)
        page = await self._tokens.page(
            request.tx,
            agent_id=query.agent_id,
            live=live,
            reason=reason,
            limit=query.limit,
            offset=query.offset,
        )
        return {"tokens": [_response(t) for t in page], "limit": query.limit, "offset": query.offset}


def _whose(request: Request[Any, Any]) -> str | None:
    """Everybody's for an administrator, else one's own."""
    return None if request.principal.role >= Role.ADMIN else request.principal.user_id


def _response(token: TokenView) -> TokenResponse:
    return from_object(
        TokenResponse,
        token,
        parent_jti=token.parent,
        delegation_depth=token.depth,
        terminated_at=token.ended_at,
        terminated_by=token.ended_by,
    )
