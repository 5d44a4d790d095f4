"""Agents as principals of the platform: access tokens, agents' API keys, and the SDK's token."""

from typing import Final

from ragwork_hooks.auth import Credential, Principal, Role
from ragwork_hooks.errors import Problem, unauthenticated
from ragwork_hooks.services import Services

from ragwork_agent_identity.agents.agent_store import AgentStore
from ragwork_agent_identity.agents.credentials import CredentialStore
from ragwork_agent_identity.policies import scopes
from ragwork_agent_identity.policies.scope_decisions import Decisions, ScopeRequest
from ragwork_agent_identity.tokens import opaque_tokens, token_signing
from ragwork_agent_identity.tokens.opaque_tokens import Mint
from ragwork_agent_identity.tokens.token_signing import Unverified
from ragwork_agent_identity.tokens.token_validity import KIND, Standing
from ragwork_agent_identity.tokens.token_verifier import AccessTokenVerifier, default_audience

#: What the SDK's token opens, and nothing else: an action of this name.
SDK_SCOPE: Final = "agent_sdk.sync"
#: Before the name of an integration whose credential the SDK may fetch.
INTEGRATION_SCOPE: Final = "agent_integration."
_ROLES: Final = {f"role{mark}{role.label}": role for role in Role for mark in ":."}


class AgentAuthenticator:
    """Implements ``ragwork_hooks.auth.Authenticator``. Warm, it asks nobody."""

    def __init__(
        self,
        services: Services,
        *,
        verifier: AccessTokenVerifier,
        standing: Standing,
        agents: AgentStore,
        credentials: CredentialStore,
        decisions: Decisions,
        mint: Mint,
    ) -> None:
        self.name = "agents"
        self._clock = services.clock
        self._verifier = verifier
        self._agents = agents
        self._credentials = credentials
        self._decisions = decisions
        self._standing = standing
        self._mint = mint

    async def authenticate(self, credential: Credential) -> Principal | None:
        token = credential.bearer
        if token is None:
            return self._unbound(credential)
        try:
            if token.startswith(opaque_tokens.API_KEY):
                return await self._by_key(token, credential.peer)
            if token.startswith(opaque_tokens.SDK):
                return await self._by_sdk_token(token, credential.peer)
            return await self._by_access_token(token, credential.peer) if token.count(".") == 2 else None
        except Unverified as error:
            raise _refused(f"the agent's token is refused: {error}") from error
        except Problem:
            raise
        except Exception as error:
            raise Problem("AUTH_UNAVAILABLE", "credentials can't be checked at the moment") from error

    @staticmethod
    def _unbound(credential: Credential) -> None:
        """A key-bound token is not taken here: the seam does not say which request the proof must be for."""
        values = credential.headers.getall("authorization", [])
        if any(value[:5].lower() == "dpop " for value in values):
            raise _refused("tokens bound to a key are not taken on this route")

    async def _by_access_token(self, token: str, peer: str) -> Principal | None:
        try:
            ours = str(token_signing.header_of(token).get("typ", "")).lower() == "at+jwt"
        except Unverified:
            return None
        if not ours:
            return None
        read = await self._verifier.verify(token, peer)
        if read.jkt is not None:
            raise Unverified("it is bound to a key and was sent without its proof")
        if read.audience != default_audience(read.agent.tenant_id):
            raise Unverified("it is meant for another audience")
        self._standing.allow(read.stood, read.constraints)
        held = frozenset(read.scopes)
        return read.stood.principal(held, _role(held), read.stood.end(read.expires_at))

    async def _by_key(self, text: str, peer: str) -> Principal:
        key = await self._credentials.check_key(text)
        agent = None if key is None else await self._agents.snapshot(key.tenant_id, key.agent_id)
        if key is None or agent is None or agent.status != "active":
            raise _refused("the agent's API key is unknown, ended, or its agent is not active")
        request = ScopeRequest(
            scopes=key.scopes,
            audience=default_audience(agent.tenant_id),
            context={"ip": peer, "task_id": None, "grant_type": "api_key"},
        )
        (await self._decisions.rule(agent, request)).refuse()
        held = frozenset(key.scopes)
        return Principal(
            tenant_id=agent.tenant_id,
            user_id=agent.id,
            credential_id=key.id,
            kind=KIND,
            role=_role(held),
            scopes=held,
            expires_at=key.expires_at,
            actor_id=agent.id,
        )

    async def _by_sdk_token(self, token: str, peer: str) -> Principal:
        claims = self._mint.read_sdk_token(token)
        if claims is None or claims.expires_at <= self._clock.now().timestamp():
            raise _refused("the SDK's token is not valid or has expired")
        stood = await self._standing.check(claims.lineage, peer)
        self._standing.allow(stood, claims.constraints)
        names = (INTEGRATION_SCOPE + scopes.integration_of(scope) for scope in claims.lineage.scopes)
        return stood.principal(frozenset({SDK_SCOPE, *names}), Role.READER, stood.end(claims.expires_at))


def _role(held: frozenset[str]) -> Role:
    """The highest that a scope names, such as ``role:admin``; without one a reader's."""
    return max((_ROLES[scope] for scope in held if scope in _ROLES), default=Role.READER)


def _refused(message: str) -> Problem:
    return unauthenticated("AUTH_UNAUTHORIZED", message, challenge='Bearer error="invalid_token"')
