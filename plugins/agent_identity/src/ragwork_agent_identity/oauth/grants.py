"""The grants: client credentials, refresh, token exchange, and delegation from agent to agent."""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
from ragwork_hooks.audit import AuditLog, Origin
from ragwork_hooks.auth import Directory
from ragwork_hooks.errors import Problem
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction

from ragwork_agent_identity.agents.agent_events import agent_event
from ragwork_agent_identity.agents.agent_store import Snapshot, agent_not_found
from ragwork_agent_identity.policies import scopes
from ragwork_agent_identity.policies.scope_decisions import Decisions, ScopeRequest
from ragwork_agent_identity.tokens import constraints, opaque_tokens, token_signing
from ragwork_agent_identity.tokens.opaque_tokens import Mint
from ragwork_agent_identity.tokens.token_issuer import IssuedToken, TokenIssuer, TokenRequest, standing
from ragwork_agent_identity.tokens.token_signing import Unverified
from ragwork_agent_identity.tokens.token_store import RefreshRow, TokenStore
from ragwork_agent_identity.tokens.token_verifier import AccessToken, AccessTokenVerifier, default_audience

CLIENT_CREDENTIALS: Final = "client_credentials"
REFRESH: Final = "refresh_token"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
DELEGATION: Final = "delegation"
OFFLINE: Final = "offline_access"
ACCESS_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  # a type's name
JWT_TYPE: Final = "urn:ietf:params:oauth:token-type:jwt"
SUBJECT_TYP: Final = "subject+jwt"
_MAX_AUDIENCE: Final = 512


@attrs.frozen(kw_only=True)
class GrantRequest:
    """What every grant may say of the token it wants. ``strict`` speaks as RFC 8693 does of who is who."""

    issuer: str
    origin: Origin
    scope: str | None = None
    audience: str | None = None
    task_id: str | None = None
    jkt: str | None = None
    strict: bool = False


class Grants:
    """Authenticated wishes → tokens. A client is the agent that it proved to be, see ``Snapshot.proven_by``."""

    def __init__(
        self,
        services: Services,
        *,
        tokens: TokenStore,
        issuer: TokenIssuer,
        verifier: AccessTokenVerifier,
        decisions: Decisions,
        directory: Directory,
        mint: Mint,
        log: AuditLog | None,
        max_depth: int,
    ) -> None:
        self._services = services
        self._tokens = tokens
        self._issuer = issuer
        self._verifier = verifier
        self._decisions = decisions
        self._directory = directory
        self._mint = mint
        self._log = log
        self._max_depth = max_depth

    async def client_credentials(self, agent: Snapshot, asked: GrantRequest) -> IssuedToken:
        """A token for the agent itself; without a scope it gets those it is registered with. Beside the scope
        ``offline_access`` it gets a refresh token, unless it binds its tokens to a key.
        """
        asked, offline = _offline(asked)
        wanted = scopes.parse(asked.scope or "") or agent.scopes
        if not wanted:
            raise scopes.invalid_scope("no scope is asked for and the agent is registered with none")
        token_request = TokenRequest(
            issuer=asked.issuer,
            origin=asked.origin,
            grant_type=CLIENT_CREDENTIALS,
            scopes=wanted,
            audience=_audience(asked.audience, agent.tenant_id),
            subject=agent.id,
            task_id=asked.task_id,
            jkt=_binding(agent, asked),
            refreshable=offline and asked.jkt is None,
        )
        return await self._issuer.issue(agent, token_request)

    async def refresh(self, token: str, client: Snapshot, asked: GrantRequest) -> IssuedToken:
        """A new pair for a refresh token of the authenticated ``client``. It works once: used again, its whole
        family ends. ``Problem`` 400/401 INVALID_GRANT.
        """
        row = await self._refreshed(token, client)
        # The family stands on what its first token was issued for.
        agent = attrs.evolve(client, proven_by=row.credential)
        asked, _ = _offline(asked)
        wanted = scopes.parse(asked.scope or "") or row.scopes
        if not set(wanted) <= set(row.scopes):
            raise scopes.invalid_scope("a refresh can't widen the scope")

        async def use_up(tx: Transaction) -> None:
            if not await self._tokens.consume(tx, row.id):
                raise _Reused

        token_request = TokenRequest(
            issuer=asked.issuer,
            origin=asked.origin,
            grant_type=REFRESH,
            scopes=wanted,
            audience=row.audience,
            subject=agent.id,
            task_id=row.task_id,
            jkt=_binding(agent, asked),
            family=row.family,
            refreshable=True,
            before=use_up,
        )
        try:
            return await self._issuer.issue(agent, token_request)
        except _Reused:
            await self._end_family(agent, row, asked.origin)
            raise _invalid_grant() from None

    async def exchange(
        self, agent: Snapshot, subject: str, subject_type: str | None, asked: GrantRequest
    ) -> IssuedToken:
        """RFC 8693: act for the person or agent whose ``subject`` token this is, with no more than it carries."""
        if subject_type not in (None, ACCESS_TOKEN_TYPE, JWT_TYPE):
            raise Problem(
                "VALIDATION_ERROR", "subject_token_type must be an access token or a JWT", status=400
            )
        try:
            typ = str(token_signing.header_of(subject).get("typ", "")).lower()
            if typ == SUBJECT_TYP:
                return await self._for_person(agent, await self._verifier.claims(subject, SUBJECT_TYP), asked)
            parent = await self._verifier.verify(subject, asked.origin.peer)
        except Unverified as error:
            raise _invalid_grant(f"the subject token is refused: {error}") from error
        wanted = scopes.parse(asked.scope or "") or parent.scopes
        return await self.delegate(agent, parent, wanted, asked, proven=True)

    async def delegate(
        self,
        child: Snapshot,
        parent: AccessToken,
        wanted: Sequence[str],
        asked: GrantRequest,
        *,
        proven: bool,
        ttl_s: int | None = None,
        tighter: Mapping[str, object] | None = None,
    ) -> IssuedToken:
        """A token for ``child`` out of ``parent``: fewer scopes, tighter constraints, no longer life.

        It acts for the parent, and may do what both may. Unless ``proven``, it was not the child that asked for it.
        """
        if parent.agent.tenant_id != child.tenant_id:
            raise agent_not_found(child.id)
        if parent.jkt is not None and parent.jkt != asked.jkt:
            raise _invalid_grant("the parent token is bound to a key that was not proven")
        beyond = sorted(set(wanted) - set(parent.scopes))
        if beyond:
            raise Problem(
                "CAPABILITY_ESCALATION", f"the parent token does not carry {', '.join(beyond)}", status=403
            )
        if parent.depth + 1 > self._max_depth:
            raise Problem(
                "DELEGATION_DEPTH_EXCEEDED",
                f"tokens are delegated {self._max_depth} times at most",
                status=403,
            )
        held = constraints.tightened(parent.constraints, tighter or {})
        standing(child, child.tenant_id)
        audience = await self._kept_audience(parent, wanted, asked)
        token_request = TokenRequest(
            issuer=asked.issuer,
            origin=asked.origin,
            grant_type=DELEGATION,
            scopes=tuple(wanted),
            audience=audience,
            subject=str(parent.claims["sub"]) if asked.strict else child.id,
            actor=_actors([child.id] if proven else [], parent),
            task_id=asked.task_id or parent.task_id,
            ttl_s=ttl_s,
            expires_by=parent.expires_at,
            constraints=_narrowed(held, child.constraints),
            links=parent.lineage.links,
            proven=proven,
            person=parent.lineage.person,
            delegation_id=parent.lineage.delegation_id,
            jkt=_binding(child, asked),
        )
        return await self._issuer.issue(child, token_request)

    async def _kept_audience(self, parent: AccessToken, wanted: Sequence[str], asked: GrantRequest) -> str:
        """The parent's; a token for this platform may be passed on to another, if the parent's policies let it.

        Whoever was handed a token that was meant for them only must not turn it into one for somewhere else.
        """
        tenant_id = parent.agent.tenant_id
        audience = _audience(asked.audience or parent.audience, tenant_id)
        if audience == parent.audience:
            return audience
        if parent.audience != default_audience(tenant_id):
            raise Problem(
                "INVALID_TARGET",
                f"the subject token is for {parent.audience!r}, and what is exchanged for it stays so",
                status=400,
            )
        request = ScopeRequest(
            scopes=tuple(wanted),
            audience=audience,
            on_behalf_of=parent.lineage.behalf(0),
            context={"ip": asked.origin.peer, "task_id": parent.task_id, "grant_type": parent.lineage.grant},
        )
        (await self._decisions.rule(parent.agent, request)).refuse()
        return audience

    async def _for_person(
        self, agent: Snapshot, claims: Mapping[str, Any], asked: GrantRequest
    ) -> IssuedToken:
        person = token_signing.text(claims, "sub")
        may_act = claims.get("may_act")
        if claims.get("tenant_id") != agent.tenant_id or may_act != {"sub": agent.id}:
            raise Unverified("it was made for another agent")
        user = await self._directory.current(agent.tenant_id, person)
        if user is None or not user.active:
            raise Unverified("its person is not active")
        allowed = token_signing.text(claims, "scope").split(" ")
        wanted = scopes.parse(asked.scope or "") or tuple(allowed)
        beyond = sorted(set(wanted) - set(allowed))
        if beyond:
            raise Problem(
                "CAPABILITY_ESCALATION", f"the person did not let it {', '.join(beyond)}", status=403
            )
        token_request = TokenRequest(
            issuer=asked.issuer,
            origin=asked.origin,
            grant_type=EXCHANGE,
            scopes=wanted,
            audience=_audience(asked.audience, agent.tenant_id),
            subject=person if asked.strict else agent.id,
            actor={"sub": agent.id},
            task_id=asked.task_id,
            expires_by=int(token_signing.number(claims, "exp")),
            person=person,
            delegation_id=token_signing.text(claims, "jti"),
            jkt=_binding(agent, asked),
        )
        return await self._issuer.issue(agent, token_request)

    async def _refreshed(self, token: str, client: Snapshot) -> RefreshRow:
        credential_id = opaque_tokens.id_of(token, opaque_tokens.REFRESH)
        if credential_id is None:
            raise _invalid_grant()
        async with self._services.db.tenant(client.tenant_id, "read") as tx:
            row = await self._tokens.refresh(tx, credential_id)
        if row is None or not hmac.compare_digest(row.digest, self._mint.digest(token)):
            raise _invalid_grant()
        if row.agent_id != client.id or not row.stands(client, self._services.clock.now()):
            raise _invalid_grant()
        return row

    async def _end_family(self, agent: Snapshot, row: RefreshRow, origin: Origin) -> None:
        """In a transaction of its own: the refusal must not undo it."""
        async with self._services.db.tenant(agent.tenant_id) as tx:
            ended = await self._tokens.end(tx, "family", row.family, "system_kill", "refresh_reuse")
            if self._log is not None:
                reused = agent_event(
                    "oauth.refresh_reuse_detected",
                    agent.id,
                    origin,
                    outcome="failure",
                    metadata={"ended": ended},
                )
                await self._log.append(tx, reused)


class _Reused(Exception):
    """A refresh token was used before, or somebody was faster."""


def _invalid_grant(message: str = "the refresh token is not valid") -> Problem:
    return Problem("INVALID_GRANT", message, status=400)


def _binding(agent: Snapshot, asked: GrantRequest) -> str | None:
    if agent.dpop_bound and asked.jkt is None:
        raise Problem("INVALID_DPOP_PROOF", "this agent's tokens need a DPoP proof", status=400)
    return asked.jkt


def _audience(asked: str | None, tenant_id: str) -> str:
    if asked is not None and (not asked.isprintable() or not 0 < len(asked) <= _MAX_AUDIENCE or " " in asked):
        raise Problem("INVALID_TARGET", "the audience is no URI or name", status=400)
    return asked or default_audience(tenant_id)


def _offline(asked: GrantRequest) -> tuple[GrantRequest, bool]:
    """The wish without ``offline_access``, and whether that was in it: it asks for a refresh token, as in OpenID
    Connect, and is no scope that a policy decides on.
    """
    names = (asked.scope or "").split(" ")
    rest = " ".join(name for name in names if name != OFFLINE)
    return attrs.evolve(asked, scope=rest), OFFLINE in names


def _actors(own: Sequence[str], parent: AccessToken) -> dict[str, object]:
    """The chain of who acts (RFC 8693 §4.1), the present actor outermost. An agent that proved nothing acts
    not: the one that asks in its name does.
    """
    chain: dict[str, object] = {}
    for agent_id in reversed([*own, *(link.agent for link in parent.lineage.links)]):
        chain = {"sub": agent_id, **({"act": chain} if chain else {})}
    return chain


def _narrowed(held: Mapping[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """Both kept: the delegated constraints and the child's own, the tighter of each."""
    merged = {**own, **held}
    for key in ("max_amount_cents", "max_results"):
        limits = [limit for side in (held, own) if isinstance(limit := side.get(key), int)]
        if limits:
            merged[key] = min(limits)
    if held.get("task_context_required") or own.get("task_context_required"):
        merged["task_context_required"] = True
    if "time_bounds" in held and "time_bounds" in own:
        merged["time_bounds"] = constraints.narrower_window(held["time_bounds"], own["time_bounds"])
    return merged
