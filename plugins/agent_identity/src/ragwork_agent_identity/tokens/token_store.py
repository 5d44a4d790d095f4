"""The record of tokens: issued once, ended for a reason, never forgotten."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import attrs
from ragwork_hooks.errors import Problem
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Cache, Transaction
from ragwork_toolkit.rows import from_row

from ragwork_agent_identity.agents.agent_store import Snapshot
from ragwork_agent_identity.tokens.opaque_tokens import MintedCredential

#: Ids of one tenant in the list of everybody's.
MOST_LISTED: Final = 1000
Reason = Literal["manual_revocation", "system_kill", "key_compromised"]
_ALL: Final = "all"
# One statement decides and writes: agent, key, parent token and delegation are held as the decision saw
# them, so that whoever ends one of them either finds this token or comes before it.
_INSERT: Final = """
WITH agent AS (
    SELECT FROM agents.agents WHERE tenant_id = ragwork.tenant() AND id = $2 AND status = 'active'
       AND revision = $3 FOR SHARE
), signer AS (
    SELECT FROM agents.signing_keys WHERE tenant_id = ragwork.tenant() AND kid = $4 AND status = 'active' FOR SHARE
), origin AS (
    SELECT FROM agents.tokens WHERE tenant_id = ragwork.tenant() AND jti = $9 AND ended_at IS NULL FOR SHARE
), delegation AS (
    SELECT FROM agents.delegations WHERE tenant_id = ragwork.tenant() AND id = $12 AND revoked_at IS NULL FOR SHARE
), stored AS (
INSERT INTO agents.tokens (tenant_id, jti, agent_id, kid, grant_type, scopes, audience, task_id, parent, depth,
                           on_behalf_of, delegation_id, family, custom_ttl, issued_at, expires_at, credential)
SELECT ragwork.tenant(), $1, $2, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $20
  FROM agent, signer
 WHERE ($9::text IS NULL OR EXISTS (SELECT FROM origin)) AND ($12::text IS NULL OR EXISTS (SELECT FROM delegation))
RETURNING jti
), refresh AS (
INSERT INTO agents.refresh_tokens (tenant_id, id, family, agent_id, digest, scopes, audience, task_id, credential,
                                   expires_at)
SELECT ragwork.tenant(), $17, $13, $2, $18, $6, $7, $8, $20,
       COALESCE((SELECT min(expires_at) FROM agents.refresh_tokens
                  WHERE tenant_id = ragwork.tenant() AND family = $13), now() + make_interval(secs => $19))
  FROM stored WHERE $17::text IS NOT NULL
)
SELECT jti FROM stored
"""
#: Whether neither the token $1 nor the delegation $2 was ended; null, or one not on record, counts as standing.
_STANDS: Final = """
SELECT NOT EXISTS (SELECT FROM agents.tokens
                    WHERE tenant_id = ragwork.tenant() AND jti = $1 AND ended_at IS NOT NULL)
   AND NOT EXISTS (SELECT FROM agents.delegations
                    WHERE tenant_id = ragwork.tenant() AND id = $2 AND revoked_at IS NOT NULL)
"""
_COLUMNS: Final = """
t.jti, t.agent_id, t.kid, t.grant_type, t.scopes, t.audience, t.task_id, t.parent, t.depth, t.on_behalf_of,
t.custom_ttl, t.issued_at, t.expires_at, t.ended_at, t.ended_by,
COALESCE(t.reason, CASE WHEN t.expires_at <= now() THEN 'expired' END) AS termination_reason
"""
#: A tenant's tokens, newest first. Parameters: agent or null, only live ones, reason or null, limit, offset.
_LIST: Final = f"""
SELECT {_COLUMNS} FROM agents.tokens t
 WHERE t.tenant_id = ragwork.tenant() AND ($1::text IS NULL OR t.agent_id = $1)
   AND (NOT $2 OR (t.ended_at IS NULL AND t.expires_at > now()))
   AND ($3::text IS NULL OR COALESCE(t.reason, CASE WHEN t.expires_at <= now() THEN 'expired' END) = $3)
 ORDER BY t.issued_at DESC, t.jti LIMIT $4 OFFSET $5
"""  # noqa: S608  # constant text
_GET: Final = f"""
SELECT {_COLUMNS} FROM agents.tokens t WHERE t.tenant_id = ragwork.tenant() AND t.jti = $1
"""  # noqa: S608  # constant text
# Ends the chosen tokens, what was delegated from them, and the refresh tokens of their families, those of a
# token that is past its own end, too.
_END: Final = """
WITH RECURSIVE named AS (
    SELECT jti, family, ended_at IS NULL AND expires_at > now() AS live FROM agents.tokens
     WHERE tenant_id = ragwork.tenant()
       AND CASE $1 WHEN 'jti' THEN jti = $2
                   WHEN 'agent' THEN agent_id = $2 AND expires_at > now()
                   WHEN 'kid' THEN kid = $2 AND (expires_at > now() OR family IS NOT NULL)
                   WHEN 'family' THEN family = $2
                   WHEN 'credential' THEN credential = $2 AND expires_at > now()
                   WHEN 'delegation' THEN delegation_id = $2
                   WHEN 'person' THEN on_behalf_of = $2 AND expires_at > now() END
), chosen AS (
    SELECT jti, family FROM named WHERE live
    UNION
    SELECT t.jti, t.family FROM agents.tokens t JOIN chosen c ON t.parent = c.jti
     WHERE t.tenant_id = ragwork.tenant() AND t.ended_at IS NULL AND t.expires_at > now()
), refresh AS (
    UPDATE agents.refresh_tokens r SET revoked_at = now()
     WHERE r.tenant_id = ragwork.tenant() AND r.revoked_at IS NULL
       AND (r.family IN (SELECT family FROM named UNION SELECT family FROM chosen)
            OR ($1 = 'agent' AND r.agent_id = $2) OR ($1 = 'credential' AND r.credential = $2))
)
UPDATE agents.tokens t SET ended_at = now(), reason = $3, ended_by = $4
  FROM chosen c WHERE t.tenant_id = ragwork.tenant() AND t.jti = c.jti AND t.ended_at IS NULL
RETURNING t.jti
"""
_REFRESH: Final = """
SELECT id, family, agent_id, digest, scopes, audience, task_id, credential,
       used_at IS NOT NULL AS used, revoked_at IS NOT NULL OR expires_at <= now() AS dead
  FROM agents.refresh_tokens WHERE tenant_id = ragwork.tenant() AND id = $1
"""
_ENDED: Final = """
SELECT jti FROM agents.tokens
 WHERE tenant_id = ragwork.tenant() AND ended_at IS NOT NULL AND expires_at > now()
"""
_CONSUME: Final = """
UPDATE agents.refresh_tokens SET used_at = now()
 WHERE tenant_id = ragwork.tenant() AND id = $1 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > now()
RETURNING id
"""


@attrs.frozen(kw_only=True)
class IssuedTokenRow:
    """A token to be recorded. ``revision`` is the agent's that was decided on, ``credential`` what the agent proved
    itself with.
    """

    jti: str
    agent_id: str
    revision: int
    kid: str
    grant_type: str
    scopes: tuple[str, ...]
    audience: str
    task_id: str | None
    parent: str | None
    depth: int
    on_behalf_of: str | None
    delegation_id: str | None
    family: str | None
    credential: str | None
    custom_ttl: bool
    issued_at: datetime
    expires_at: datetime


@attrs.frozen(kw_only=True)
class TokenView:
    """A token's record. ``termination_reason`` is ``None`` while it lives, ``expired`` after its natural end."""

    jti: str
    agent_id: str
    kid: str
    grant_type: str
    scopes: list[str]
    audience: str
    task_id: str | None
    parent: str | None
    depth: int
    on_behalf_of: str | None
    custom_ttl: bool
    issued_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    termination_reason: str | None


@attrs.frozen(kw_only=True)
class RefreshRow:
    """A refresh token's record. ``used`` once it was exchanged, ``dead`` when revoked or past its end."""

    id: str
    family: str
    agent_id: str
    digest: bytes = attrs.field(repr=False)
    scopes: tuple[str, ...]
    audience: str
    task_id: str | None
    credential: str | None
    used: bool
    dead: bool

    def stands(self, agent: Snapshot, now: datetime) -> bool:
        """Whether its agent may act and still holds what the first token of the family was issued for."""
        held = self.credential is not None and agent.holds(self.credential, now)
        return held and agent.status == "active" and not self.dead


@attrs.frozen(kw_only=True)
class RevocationList:
    """The unexpired revoked ids of all tenants, as served."""

    document: bytes
    etag: str


class TokenStore:
    """All that touches the record of tokens. Writes act inside the caller's transaction."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._ended: Cache[frozenset[str]] = services.caches.cache("agents.ended", ttl_s=15, size=1000)
        self._listed: Cache[RevocationList] = services.caches.cache("agents.revoked", ttl_s=15, size=1)

    async def add(
        self, tx: Transaction, row: IssuedTokenRow, refresh: MintedCredential | None, refresh_ttl_s: int
    ) -> bool:
        """Record a token, and the ``refresh`` token beside it, whose family ends when its first was to end.

        ``False`` when agent, key, parent or delegation is no longer as it was decided on.
        """
        stored = await tx.fetchval(
            _INSERT,
            row.jti,
            row.agent_id,
            row.revision,
            row.kid,
            row.grant_type,
            list(row.scopes),
            row.audience,
            row.task_id,
            row.parent,
            row.depth,
            row.on_behalf_of,
            row.delegation_id,
            row.family,
            row.custom_ttl,
            row.issued_at,
            row.expires_at,
            None if refresh is None else refresh.id,
            None if refresh is None else refresh.digest,
            float(refresh_ttl_s),
            row.credential,
        )
        return stored is not None

    async def stands(self, tx: Transaction, parent: str | None, delegation_id: str | None) -> bool:
        """Whether what a token is derived from was not ended."""
        return bool(await tx.fetchval(_STANDS, parent, delegation_id))

    async def get(self, tx: Transaction, jti: str) -> TokenView | None:
        row = await tx.fetchrow(_GET, jti)
        return None if row is None else from_row(TokenView, row)

    async def must(self, tx: Transaction, jti: str) -> TokenView:
        """Raises ``Problem`` 404 TOKEN_NOT_FOUND."""
        view = await self.get(tx, jti)
        if view is None:
            raise Problem("TOKEN_NOT_FOUND", f"token {jti[:60]!r} does not exist", status=404)
        return view

    async def page(
        self,
        tx: Transaction,
        *,
        agent_id: str | None,
        live: bool,
        reason: str | None,
        limit: int,
        offset: int,
    ) -> Sequence[TokenView]:
        """Newest first."""
        return [
            from_row(TokenView, row) for row in await tx.fetch(_LIST, agent_id, live, reason, limit, offset)
        ]

    async def end(
        self,
        tx: Transaction,
        by: Literal["jti", "agent", "kid", "family", "credential", "delegation", "person"],
        value: str,
        reason: Reason,
        who: str,
    ) -> int:
        """End the live tokens that ``by`` chooses and all delegated from them; how many. On the list and out
        of every stream within 1 s of the commit.
        """
        rows = await tx.fetch(_END, by, value, reason, who)
        # A stream's principal stands on all of these, so one cut reaches whatever was derived.
        if by in ("agent", "person"):
            await self._services.streams.cut(tx, user_id=value)
        else:
            await self._services.streams.cut(tx, credential_id=value)
        if rows:
            await self._ended.invalidate(tx, tx.tenant_id)
            await self._listed.invalidate(tx, _ALL)
        return len(rows)

    async def revoked(self, tenant_id: str) -> frozenset[str]:
        """The tenant's unexpired revoked ids, from a cache that any revocation reaches within 1 s."""

        async def load() -> frozenset[str]:
            async with self._services.db.tenant(tenant_id, "read") as tx:
                return frozenset(row["jti"] for row in await tx.fetch(_ENDED))

        return await self._ended.get(tenant_id, load)

    async def listed(self, tenant_id: str | None) -> RevocationList:
        """The list as it is served, from such a cache: one tenant's, or everybody's with ``MOST_LISTED`` of each."""
        if tenant_id is not None:
            return _document(sorted(await self.revoked(tenant_id)))

        async def load() -> RevocationList:
            async with self._services.db.anonymous() as tx:
                rows = await tx.fetch("SELECT jti FROM agents.listed_revocations($1)", MOST_LISTED)
            return _document([row["jti"] for row in rows])

        return await self._listed.get(_ALL, load)

    async def refresh(self, tx: Transaction, credential_id: str) -> RefreshRow | None:
        row = await tx.fetchrow(_REFRESH, credential_id)
        return None if row is None else RefreshRow(**{**row, "scopes": tuple(row["scopes"])})

    async def consume(self, tx: Transaction, credential_id: str) -> bool:
        """Use a refresh token up; ``False`` when somebody else did, or it ended."""
        return await tx.fetchval(_CONSUME, credential_id) is not None


def _document(jtis: Sequence[str]) -> RevocationList:
    body = json.dumps({"revoked_jtis": jtis}, separators=(",", ":")).encode()
    return RevocationList(document=body, etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"')
