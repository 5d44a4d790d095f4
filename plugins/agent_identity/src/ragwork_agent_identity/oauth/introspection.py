"""Introspection and revocation of a presented token, for both surfaces."""

import hmac
from typing import Any

from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction

from ragwork_agent_identity.agents.agent_store import AgentStore, Snapshot
from ragwork_agent_identity.tokens import opaque_tokens, token_signing
from ragwork_agent_identity.tokens.opaque_tokens import Mint
from ragwork_agent_identity.tokens.token_signing import Unverified
from ragwork_agent_identity.tokens.token_store import RefreshRow, TokenStore
from ragwork_agent_identity.tokens.token_verifier import TYP, AccessToken, AccessTokenVerifier


class Introspection:
    """What is still true of a token. A token of another tenant is as unknown as none."""

    def __init__(
        self,
        services: Services,
        verifier: AccessTokenVerifier,
        tokens: TokenStore,
        agents: AgentStore,
        mint: Mint,
    ) -> None:
        self._services = services
        self._clock = services.clock
        self._verifier = verifier
        self._tokens = tokens
        self._agents = agents
        self._mint = mint

    async def of(self, tenant_id: str, token: str) -> dict[str, Any]:
        """RFC 7662: what an active token says; of any other only that it is not active."""
        inactive: dict[str, Any] = {"active": False}
        if token.startswith(opaque_tokens.REFRESH):
            async with self._services.db.tenant(tenant_id, "read") as tx:
                row = await self._refresh_row(tx, token)
            agent = await self._agents.snapshot(tenant_id, row.agent_id) if row is not None else None
            if row is None or agent is None or row.used or not row.stands(agent, self._clock.now()):
                return inactive
            return {
                "active": True,
                "client_id": agent.client_id,
                "sub": agent.id,
                "scope": " ".join(row.scopes),
            }
        try:
            read = await self._verifier.verify(token)
        except Unverified:
            return inactive
        if read.agent.tenant_id != tenant_id:
            return inactive
        async with self._services.db.tenant(tenant_id, "read") as tx:
            kept = await self._tokens.get(tx, read.jti)
        # The list may lag by a second; whoever asks here is told what the record says.
        return inactive if kept is None or kept.ended_at is not None else _described(read)

    async def revoke(self, tx: Transaction, token: str, client: Snapshot | None, who: str) -> int:
        """End ``token`` of the transaction's tenant, and of ``client`` if given; how many tokens ended.

        An unknown, foreign or expired token is no error (RFC 7009 §2.2). A refresh token takes its family along.
        """
        if token.startswith(opaque_tokens.REFRESH):
            row = await self._refresh_row(tx, token)
            if row is None or (client is not None and row.agent_id != client.id):
                return 0
            return await self._tokens.end(tx, "family", row.family, "manual_revocation", who)
        try:
            claims = await self._verifier.claims(token, TYP)
            jti = token_signing.text(claims, "jti")
        except Unverified:
            return 0
        kept = await self._tokens.get(tx, jti) if claims.get("tenant_id") == tx.tenant_id else None
        if kept is None or (client is not None and kept.agent_id != client.id):
            return 0
        return await self._tokens.end(tx, "jti", jti, "manual_revocation", who)

    async def _refresh_row(self, tx: Transaction, token: str) -> RefreshRow | None:
        credential_id = opaque_tokens.id_of(token, opaque_tokens.REFRESH)
        row = None if credential_id is None else await self._tokens.refresh(tx, credential_id)
        known = row is not None and hmac.compare_digest(row.digest, self._mint.digest(token))
        return row if known else None


def _described(read: AccessToken) -> dict[str, Any]:
    names = ("iss", "sub", "aud", "iat", "exp", "jti", "client_id", "scope", "act", "cnf", "on_behalf_of")
    said = {name: read.claims[name] for name in names if name in read.claims}
    token_type = "Bearer" if read.jkt is None else "DPoP"
    return {"active": True, "token_type": token_type, "agent": read.claims["agent"], **said}
