"""What an agent holds beside its secret: API keys, and the one-time token it enrols with."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs
from ragwork_hooks.errors import Problem
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Cache, Transaction

from ragwork_agent_identity.agents.agent_store import Agent, AgentStore
from ragwork_agent_identity.tokens import opaque_tokens
from ragwork_agent_identity.tokens.opaque_tokens import Mint

_COUNT: Final = """
SELECT count(*) FROM agents.credentials
 WHERE tenant_id = ragwork.tenant() AND agent_id = $1 AND kind = 'api_key' AND revoked_at IS NULL
   AND (expires_at IS NULL OR expires_at > now())
"""
_ADD: Final = """
INSERT INTO agents.credentials (tenant_id, id, agent_id, kind, name, digest, scopes, expires_at, ends_by)
VALUES (ragwork.tenant(), $1, $2, $3, $4, $5, $6, LEAST(now() + $7::interval, $8), $8)
RETURNING id, name, scopes, created_at, expires_at, revoked_at
"""
_LIST: Final = """
SELECT id, name, scopes, created_at, expires_at, revoked_at FROM agents.credentials
 WHERE tenant_id = ragwork.tenant() AND agent_id = $1 AND kind = 'api_key'
 ORDER BY created_at DESC, id LIMIT $2 OFFSET $3
"""
_REVOKE: Final = """
UPDATE agents.credentials SET revoked_at = COALESCE(revoked_at, now())
 WHERE tenant_id = ragwork.tenant() AND agent_id = $1 AND id = $2 AND kind = 'api_key'
RETURNING id, name, scopes, created_at, expires_at, revoked_at
"""
_FIND: Final = """
SELECT tenant_id, id, agent_id, digest, scopes, expires_at, revoked_at IS NOT NULL AS revoked
  FROM agents.credentials WHERE tenant_id = ragwork.tenant() AND id = $1 AND kind = 'api_key'
"""
# One statement takes the token: of many at once, one finds it unused.
_ENROL: Final = """
UPDATE agents.credentials SET used_at = now()
 WHERE tenant_id = ragwork.tenant() AND id = $1 AND digest = $2 AND kind = 'enroll'
   AND used_at IS NULL AND revoked_at IS NULL AND expires_at > now()
RETURNING agent_id, ends_by
"""
_END_ENROL: Final = """
UPDATE agents.credentials SET revoked_at = now()
 WHERE tenant_id = ragwork.tenant() AND agent_id = $1 AND kind = 'enroll' AND used_at IS NULL AND revoked_at IS NULL
"""
#: Deletes what ended long ago, credentials and refresh tokens, in one statement, and counts both.
_SWEEP: Final = """
WITH credentials AS (
    DELETE FROM agents.credentials
     WHERE tenant_id = ragwork.tenant()
       AND COALESCE(LEAST(expires_at, revoked_at), used_at) < now() - interval '30 days'
    RETURNING 1
), refresh_tokens AS (
    DELETE FROM agents.refresh_tokens WHERE tenant_id = ragwork.tenant() AND expires_at < now() - interval '1 day'
    RETURNING 1
)
SELECT (SELECT count(*) FROM credentials) + (SELECT count(*) FROM refresh_tokens)
"""


@attrs.frozen(kw_only=True)
class AgentKey:
    """An agent's API key without its secret."""

    id: str
    name: str | None
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@attrs.frozen(kw_only=True)
class KnownKey:
    """An API key as authentication knows it."""

    tenant_id: str
    id: str
    agent_id: str
    digest: bytes = attrs.field(repr=False)
    scopes: tuple[str, ...]
    expires_at: datetime | None
    revoked: bool


class CredentialStore:
    """All that touches API keys and enrolment. Writes act inside the caller's transaction."""

    def __init__(self, services: Services, agents: AgentStore, mint: Mint, max_keys: int) -> None:
        self._services = services
        self._agents = agents
        self._mint = mint
        self._max_keys = max_keys
        cache: Cache[KnownKey] = services.caches.cache("agents.api_keys", ttl_s=15)
        self._keys = mint.lookup(opaque_tokens.API_KEY, cache, self._load)

    async def add_key(
        self,
        tx: Transaction,
        agent: Agent,
        name: str | None,
        scopes: Sequence[str],
        days: int,
        ends_by: datetime | None,
    ) -> tuple[AgentKey, str]:
        """A key of an agent that the transaction holds, and its text; it ends after ``days``, at ``ends_by`` at the
        latest. ``Problem`` 409 KEY_LIMIT_REACHED.
        """
        held = await tx.fetchval(_COUNT, agent.id)
        if held >= self._max_keys:
            raise Problem(
                "KEY_LIMIT_REACHED", f"the agent has {held} active API keys: revoke one first", status=409
            )
        minted = self._mint.new(opaque_tokens.API_KEY)
        row = await tx.fetchrow(
            _ADD,
            minted.id,
            agent.id,
            "api_key",
            name,
            minted.digest,
            list(scopes),
            timedelta(days=days),
            ends_by,
        )
        return AgentKey(**(row or {})), minted.text

    async def keys(self, tx: Transaction, agent_id: str, *, limit: int, offset: int) -> Sequence[AgentKey]:
        """A window of the agent's keys, newest first."""
        return [AgentKey(**row) for row in await tx.fetch(_LIST, agent_id, limit, offset)]

    async def revoke_key(self, tx: Transaction, agent_id: str, key_id: str) -> AgentKey:
        """For good, everywhere within 1 s. ``Problem`` 404."""
        row = await tx.fetchrow(_REVOKE, agent_id, key_id)
        if row is None:
            raise Problem("NOT_FOUND", f"API key {key_id[:60]!r} does not exist")
        await self._keys.forget(tx, key_id)
        await self._services.streams.cut(tx, credential_id=key_id)
        return AgentKey(**row)

    async def check_key(self, text: str) -> KnownKey | None:
        """The key that ``text`` proves; ``None`` for anything wrong, expired or revoked."""
        key = await self._keys.proven(text)
        if key is None or key.revoked:
            return None
        ended = key.expires_at is not None and key.expires_at <= self._services.clock.now()
        return None if ended else key

    async def _load(self, key_id: str) -> KnownKey | None:
        tenant_id = await self._agents.tenant_of(key_id)
        if tenant_id is None:
            return None
        async with self._services.db.tenant(tenant_id, "read") as tx:
            row = await tx.fetchrow(_FIND, key_id)
        return None if row is None else KnownKey(**{**row, "scopes": tuple(row["scopes"])})

    async def enrolment(
        self, tx: Transaction, agent: Agent, ttl: timedelta, ends_by: datetime | None
    ) -> tuple[str, datetime]:
        """A one-time enroll token and its end; any before it is void. The secret that it is exchanged for ends at
        ``ends_by``, too.
        """
        await tx.execute(_END_ENROL, agent.id)
        minted = self._mint.new(opaque_tokens.ENROLL)
        row = await tx.fetchrow(_ADD, minted.id, agent.id, "enroll", None, minted.digest, [], ttl, ends_by)
        return minted.text, (row or {})["expires_at"]

    async def enrol_tenant(self, token: str) -> str | None:
        """The tenant of a well-formed, known enroll token."""
        credential_id = opaque_tokens.id_of(token, opaque_tokens.ENROLL)
        return None if credential_id is None else await self._agents.tenant_of(credential_id)

    async def enrolled(self, tx: Transaction, token: str) -> tuple[str, datetime | None] | None:
        """Use an enroll token up: its agent's id and the latest end of what it is exchanged for; ``None`` when it
        is not, no longer or not yet one.
        """
        row = await tx.fetchrow(
            _ENROL, opaque_tokens.id_of(token, opaque_tokens.ENROLL), self._mint.digest(token)
        )
        return None if row is None else (row["agent_id"], row["ends_by"])

    async def sweep(self, tx: Transaction) -> int:
        """Remove credentials that ended 30 days ago and refresh tokens that ended yesterday; how many rows went."""
        return int(await tx.fetchval(_SWEEP))
