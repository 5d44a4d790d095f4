"""What people let agents do in their name."""

import asyncio
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs
from ragwork_hooks.auth import Directory, Principal
from ragwork_hooks.errors import not_found
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.rows import from_row

from ragwork_agent_identity.oauth.grants import SUBJECT_TYP
from ragwork_agent_identity.tokens.signing_keys import Keyring
from ragwork_agent_identity.tokens.token_store import TokenStore

_INSERT: Final = """
INSERT INTO agents.delegations (tenant_id, id, user_id, agent_id, scopes, expires_at, credential_id)
VALUES (ragwork.tenant(), $1, $2, $3, $4, $5, $6)
"""
_LIST: Final = """
SELECT id, user_id, agent_id, scopes, created_at, expires_at, revoked_at FROM agents.delegations
 WHERE tenant_id = ragwork.tenant() AND ($1::text IS NULL OR user_id = $1)
 ORDER BY created_at DESC, id LIMIT $2 OFFSET $3
"""
_REVOKE: Final = """
UPDATE agents.delegations SET revoked_at = COALESCE(revoked_at, now())
 WHERE tenant_id = ragwork.tenant() AND id = $1 AND ($2::text IS NULL OR user_id = $2)
RETURNING id, user_id, agent_id, scopes, created_at, expires_at, revoked_at
"""
_END_BY_CREDENTIAL: Final = """
UPDATE agents.delegations SET revoked_at = now()
 WHERE tenant_id = ragwork.tenant() AND credential_id = $1 AND revoked_at IS NULL AND expires_at > now()
RETURNING id
"""
_END_BY_PERSON: Final = """
UPDATE agents.delegations SET revoked_at = now()
 WHERE tenant_id = ragwork.tenant() AND user_id = $1 AND revoked_at IS NULL AND expires_at > now()
"""
_HAS_DELEGATED: Final = """
SELECT id FROM agents.delegations
 WHERE tenant_id = ragwork.tenant() AND user_id = $1 AND revoked_at IS NULL AND expires_at > now() LIMIT 1
"""


@attrs.frozen(kw_only=True)
class Delegation:
    id: str
    user_id: str
    agent_id: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


class Delegations:
    """Subject tokens: signed for one agent and one person, exchanged by the agent for access tokens."""

    def __init__(self, services: Services, keys: Keyring, tokens: TokenStore, directory: Directory) -> None:
        self._clock = services.clock
        self._directory = directory
        self._keys = keys
        self._tokens = tokens

    async def create(
        self,
        tx: Transaction,
        by: Principal,
        *,
        issuer: str,
        agent_id: str,
        scopes: Sequence[str],
        ttl_s: int,
    ) -> tuple[str, Delegation]:
        """A subject token and its record. Both end with what ``by`` was authenticated with, at the latest."""
        signer = await self._keys.signer(tx.tenant_id)
        now = self._clock.now().replace(microsecond=0)
        end, delegation_id, user_id = now + timedelta(seconds=ttl_s), str(uuid.uuid4()), by.user_id
        if by.expires_at is not None:
            end = min(end, by.expires_at.replace(microsecond=0))
        await tx.execute(_INSERT, delegation_id, user_id, agent_id, list(scopes), end, by.credential_id)
        claims = {
            "iss": issuer,
            "sub": user_id,
            "aud": issuer,
            "iat": int(now.timestamp()),
            "exp": int(end.timestamp()),
            "jti": delegation_id,
            "tenant_id": tx.tenant_id,
            "scope": " ".join(scopes),
            "may_act": {"sub": agent_id},
        }
        token = await asyncio.to_thread(signer.sign, claims, SUBJECT_TYP)
        record = Delegation(
            id=delegation_id,
            user_id=user_id,
            agent_id=agent_id,
            scopes=list(scopes),
            created_at=now,
            expires_at=end,
            revoked_at=None,
        )
        return token, record

    async def page(
        self, tx: Transaction, user_id: str | None, limit: int, offset: int
    ) -> Sequence[Delegation]:
        """Newest first; ``None`` lists everybody's."""
        return [from_row(Delegation, row) for row in await tx.fetch(_LIST, user_id, limit, offset)]

    async def revoke(self, tx: Transaction, delegation_id: str, user_id: str | None, who: str) -> Delegation:
        """End it and every token that came of it. ``Problem`` 404, for somebody else's as well."""
        row = await tx.fetchrow(_REVOKE, delegation_id, user_id)
        if row is None:
            raise not_found("delegation", delegation_id)
        await self._tokens.end(tx, "delegation", delegation_id, "manual_revocation", who)
        return from_row(Delegation, row)

    async def ended(self, tx: Transaction, user_id: str | None, credential_id: str | None) -> None:
        """Implements ``Contribution.ended``: what was delegated with a credential ends with it, and with its person."""
        if credential_id is not None:
            for row in await tx.fetch(_END_BY_CREDENTIAL, credential_id):
                await self._tokens.end(tx, "delegation", row["id"], "system_kill", "credential_ended")
        if user_id is not None and await tx.fetch(_HAS_DELEGATED, user_id):
            user = await self._directory.user(tx, user_id)
            if user is None or not user.active:
                await tx.execute(_END_BY_PERSON, user_id)
                await self._tokens.end(tx, "person", user_id, "system_kill", "person_disabled")
