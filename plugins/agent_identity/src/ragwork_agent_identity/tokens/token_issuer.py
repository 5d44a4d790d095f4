"""Issuing: decide, sign, record. What is not recorded is not handed out."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import attrs
from ragwork_hooks.audit import AuditEvent, AuditLog, Origin
from ragwork_hooks.errors import Problem, unauthenticated, unavailable
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction

from ragwork_agent_identity.agents.agent_events import agent_event
from ragwork_agent_identity.agents.agent_store import AgentStore, Snapshot
from ragwork_agent_identity.policies import scopes
from ragwork_agent_identity.policies.scope_decisions import Decisions, ScopeDecision, ScopeRequest, described
from ragwork_agent_identity.tokens import opaque_tokens
from ragwork_agent_identity.tokens.lineage import Lineage, Link
from ragwork_agent_identity.tokens.opaque_tokens import Mint, SdkClaims
from ragwork_agent_identity.tokens.signing_keys import Keyring
from ragwork_agent_identity.tokens.token_signing import TokenSigner
from ragwork_agent_identity.tokens.token_store import IssuedTokenRow, TokenStore
from ragwork_agent_identity.tokens.token_verifier import TYP

_ATTEMPTS: Final = 3
Before = Callable[[Transaction], Awaitable[None]]


@attrs.frozen(kw_only=True)
class TokenRequest:
    """What a grant asks for. ``expires_by`` (seconds since 1970) caps the lifetime, ``ttl_s`` as well;
    ``before`` runs in the transaction that records the token. ``links`` are those of the token it is derived from;
    ``proven`` says whether the agent that it is for asks for it itself, or another in its name.
    """

    issuer: str
    origin: Origin
    grant_type: str
    scopes: tuple[str, ...]
    audience: str
    subject: str
    actor: Mapping[str, object] | None = None
    task_id: str | None = None
    resource: str | None = None
    ttl_s: int | None = None
    expires_by: int | None = None
    constraints: Mapping[str, object] | None = None
    links: tuple[Link, ...] = ()
    proven: bool = True
    person: str | None = None
    delegation_id: str | None = None
    jkt: str | None = None
    family: str | None = None
    refreshable: bool = False
    before: Before | None = None

    @property
    def parent(self) -> str | None:
        """The id of the token that it is derived from."""
        return self.links[0].jti if self.links else None

    @property
    def on_behalf_of(self) -> str | None:
        """For whom the agent acts: the person, else the agent that it has the token from."""
        return self.person or (self.links[0].agent if self.links else None)


@attrs.frozen(kw_only=True)
class IssuedToken:
    """A new token. ``sdk_token`` opens what the SDK synchronises."""

    access_token: str = attrs.field(repr=False)
    jti: str
    scopes: tuple[str, ...]
    expires_in: int
    refresh_token: str | None = attrs.field(default=None, repr=False)
    sdk_token: str = attrs.field(repr=False)
    bound: bool = False


class _Outdated(Exception):
    """Agent or key changed since they were read: decide anew."""


class TokenIssuer:
    """The one place where tokens are made."""

    def __init__(
        self,
        services: Services,
        *,
        agents: AgentStore,
        decisions: Decisions,
        keys: Keyring,
        tokens: TokenStore,
        mint: Mint,
        log: AuditLog | None,
        refresh_ttl_s: int,
    ) -> None:
        self._services = services
        self._agents = agents
        self._decisions = decisions
        self._keys = keys
        self._tokens = tokens
        self._mint = mint
        self._log = log
        self._refresh_ttl_s = refresh_ttl_s

    async def issue(self, agent: Snapshot, token_request: TokenRequest) -> IssuedToken:
        """A signed, recorded token for an authenticated ``agent``.

        Raises ``Problem`` 403 POLICY_SCOPE_DENIED, AUTH_AGENT_… when the agent was stopped meanwhile, and 503.
        """
        began = time.perf_counter()
        for _ in range(_ATTEMPTS):
            try:
                issued = await self._attempt(agent, token_request)
            except _Outdated:
                agent = await self._again(agent, token_request)
                continue
            self._services.metrics.observe(
                "agent_token_issue_seconds", "Time to issue an agent's token", time.perf_counter() - began
            )
            return issued
        raise unavailable("the agent keeps changing; try again")

    async def _attempt(self, agent: Snapshot, token_request: TokenRequest) -> IssuedToken:
        decision = await self._ruled(agent, token_request)
        signer = await self._keys.signer(agent.tenant_id)
        row = self._row(agent, token_request, signer)
        lineage = _lineage(agent, token_request, row)
        claims = _claims(agent, token_request, row, decision, lineage)
        refresh = self._mint.new(opaque_tokens.REFRESH) if token_request.refreshable else None
        token = await asyncio.to_thread(signer.sign, claims, TYP)
        async with self._services.db.tenant(agent.tenant_id) as tx:
            if token_request.before is not None:
                await token_request.before(tx)
            if not await self._tokens.add(tx, row, refresh, self._refresh_ttl_s):
                raise _Outdated
            await self._record(tx, agent, token_request, row, decision)
        return IssuedToken(
            access_token=token,
            jti=row.jti,
            scopes=row.scopes,
            expires_in=int((row.expires_at - row.issued_at).total_seconds()),
            refresh_token=None if refresh is None else refresh.text,
            sdk_token=self._mint.sdk_token(
                SdkClaims(
                    lineage=lineage,
                    constraints=claims["agent"]["constraints"],
                    expires_at=claims["exp"],
                )
            ),
            bound=token_request.jkt is not None,
        )

    async def _ruled(self, agent: Snapshot, token_request: TokenRequest) -> ScopeDecision:
        context = {
            "ip": token_request.origin.peer,
            "task_id": token_request.task_id,
            "grant_type": token_request.grant_type,
        }
        request = ScopeRequest(
            scopes=token_request.scopes,
            audience=token_request.audience,
            resource=token_request.resource,
            on_behalf_of=token_request.on_behalf_of,
            context=context,
        )
        decision = await self._decisions.rule(agent, request)
        if decision.denied and self._log is not None:
            async with self._services.db.tenant(agent.tenant_id) as tx:
                metadata: dict[str, object] = {
                    "action": list(token_request.scopes),
                    "audience": token_request.audience,
                    "context": context,
                    "decisions": described(decision.trail),
                    "shadow": described(decision.shadow),
                }
                event = self._event("oauth.token_denied", agent, token_request, metadata)
                await self._log.append(
                    tx, attrs.evolve(event, outcome="failure", error_code="POLICY_SCOPE_DENIED")
                )
        decision.refuse()
        return decision

    async def _again(self, agent: Snapshot, token_request: TokenRequest) -> Snapshot:
        """The agent as it is now; a refusal when it, or what the token is derived from, has ended."""
        signer = await self._keys.signer(agent.tenant_id)
        async with self._services.db.tenant(agent.tenant_id) as tx:
            fresh = await self._agents.fresh(tx, agent.id)
            if fresh is not None:
                fresh = attrs.evolve(fresh, proven_by=agent.proven_by)
            stands = await self._tokens.stands(tx, token_request.parent, token_request.delegation_id)
            await self._keys.recheck(tx, signer)
        if not stands:
            raise Problem("INVALID_GRANT", "what it would be derived from was revoked", status=400)
        return standing(fresh, agent.tenant_id)

    def _row(self, agent: Snapshot, token_request: TokenRequest, signer: TokenSigner) -> IssuedTokenRow:
        now = self._services.clock.now().replace(microsecond=0)
        lifetime = scopes.lifetime(agent.token_ttl_s, token_request.scopes)
        if token_request.ttl_s is not None:
            lifetime = min(lifetime, token_request.ttl_s)
        end = now + timedelta(seconds=lifetime)
        if token_request.expires_by is not None:
            end = min(end, datetime.fromtimestamp(token_request.expires_by, now.tzinfo))
        if token_request.proven:
            end = min(end, _credential_end(agent, end))
        if end <= now:
            raise Problem("INVALID_GRANT", "what it would be derived from has expired", status=400)
        return IssuedTokenRow(
            jti=str(uuid.uuid4()),
            agent_id=agent.id,
            revision=agent.revision,
            kid=signer.kid,
            grant_type=token_request.grant_type,
            scopes=token_request.scopes,
            audience=token_request.audience,
            task_id=token_request.task_id,
            parent=token_request.parent,
            depth=len(token_request.links),
            on_behalf_of=token_request.on_behalf_of,
            delegation_id=token_request.delegation_id,
            family=token_request.family or (str(uuid.uuid4()) if token_request.refreshable else None),
            credential=agent.proven_by if token_request.proven else None,
            custom_ttl=agent.token_ttl_s is not None,
            issued_at=now,
            expires_at=end,
        )

    async def _record(
        self,
        tx: Transaction,
        agent: Snapshot,
        token_request: TokenRequest,
        row: IssuedTokenRow,
        decision: ScopeDecision,
    ) -> None:
        if self._log is None:
            return
        metadata = {
            "jti": row.jti,
            "grant_type": row.grant_type,
            "action": list(row.scopes),
            "audience": row.audience,
            "expires_at": row.expires_at.isoformat(),
            "on_behalf_of": row.on_behalf_of,
            "parent": row.parent,
            "policy_id": decision.policy_id,
            "decisions": described(decision.trail),
            "shadow": described(decision.shadow),
        }
        await self._log.append(tx, self._event("oauth.token_issued", agent, token_request, metadata))

    @staticmethod
    def _event(
        name: str, agent: Snapshot, token_request: TokenRequest, metadata: Mapping[str, object]
    ) -> AuditEvent:
        asking = agent.id
        if not token_request.proven:
            asking = next(
                (link.agent for link in token_request.links if link.credential is not None), agent.id
            )
        return agent_event(name, agent.id, token_request.origin, actor_id=asking, metadata=metadata)


def standing(agent: Snapshot | None, tenant_id: str | None) -> Snapshot:
    """The agent when it may act. ``Problem`` AUTH_INVALID_CREDENTIALS, AUTH_AGENT_REVOKED or …_SUSPENDED."""
    if agent is None:
        raise invalid_credentials()
    if agent.status == "revoked":
        raise unauthenticated("AUTH_AGENT_REVOKED", "the agent was revoked", tenant_id)
    if agent.status == "suspended":
        raise Problem("AUTH_AGENT_SUSPENDED", "the agent is suspended", status=403, tenant_id=tenant_id)
    return agent


def invalid_credentials(message: str = "the client credentials are wrong") -> Problem:
    """401 AUTH_INVALID_CREDENTIALS, the same for an unknown client and a wrong secret."""
    return unauthenticated("AUTH_INVALID_CREDENTIALS", message)


def _credential_end(agent: Snapshot, latest: datetime) -> datetime:
    """When what the agent proved itself with ends, ``latest`` if later or never."""
    end = agent.credentials.get(agent.proven_by or "")
    return latest if end is None else min(latest, end.replace(microsecond=0))


def _lineage(agent: Snapshot, token_request: TokenRequest, row: IssuedTokenRow) -> Lineage:
    own = Link(agent=agent.id, revision=agent.revision, credential=row.credential, jti=row.jti)
    return Lineage(
        tenant_id=agent.tenant_id,
        kid=row.kid,
        links=(own, *token_request.links),
        grant=row.grant_type,
        scopes=row.scopes,
        audience=row.audience,
        task_id=row.task_id,
        person=token_request.person,
        delegation_id=row.delegation_id,
        family=row.family,
    )


def _claims(
    agent: Snapshot,
    token_request: TokenRequest,
    row: IssuedTokenRow,
    decision: ScopeDecision,
    lineage: Lineage,
) -> dict[str, Any]:
    claims: dict[str, Any] = {
        "iss": token_request.issuer,
        "sub": token_request.subject,
        "aud": row.audience,
        "client_id": agent.client_id,
        "iat": int(row.issued_at.timestamp()),
        "exp": int(row.expires_at.timestamp()),
        "jti": row.jti,
        "scope": " ".join(row.scopes),
        "tenant_id": agent.tenant_id,
        "lineage": lineage.claim(),
        "agent": {
            "id": agent.id,
            "constraints": dict(
                agent.constraints if token_request.constraints is None else token_request.constraints
            ),
            "policy_id": decision.policy_id,
            "task_id": row.task_id,
            "delegation_depth": len(token_request.links),
            "framework": agent.framework or "unknown",
        },
    }
    optional = {
        "act": token_request.actor,
        "on_behalf_of": row.on_behalf_of,
        "delegation_id": row.delegation_id,
        "cnf": None if token_request.jkt is None else {"jkt": token_request.jkt},
    }
    return claims | {name: value for name, value in optional.items() if value is not None}
