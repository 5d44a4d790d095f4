"""Agents in Postgres, and the snapshot of one that token requests work with."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import attrs
from ragwork_hooks.errors import Problem
from ragwork_hooks.policy import Policy
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Cache, Row, Transaction
from ragwork_toolkit.rows import from_row

from ragwork_agent_identity.tokens import opaque_tokens, token_signing
from ragwork_agent_identity.tokens.opaque_tokens import Mint, MintedCredential

Status = Literal["active", "suspended", "revoked"]
#: The columns of ``Agent``, with the ids of all policies assigned to it, whatever their mode.
_COLUMNS: Final = """
a.id, a.client_id, a.name, a.description, a.tags, a.status, a.token_ttl_s, a.scopes, a.framework, a.constraints,
a.jwks, a.dpop_bound, a.revision, a.created_at, a.updated_at,
ARRAY(SELECT s.policy_id FROM agents.assignments s
       WHERE s.tenant_id = a.tenant_id AND s.agent_id = a.id ORDER BY s.policy_id) AS policy_ids
"""
_INSERT: Final = """
INSERT INTO agents.agents (tenant_id, id, client_id, name, description, tags, token_ttl_s, scopes, framework,
                           constraints, jwks, dpop_bound, created_by)
VALUES (ragwork.tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10::jsonb, $11, $12)
"""
_GET: Final = f"SELECT {_COLUMNS} FROM agents.agents a WHERE a.tenant_id = ragwork.tenant() AND a.id = $1"  # noqa: S608  # constant text
#: A tenant's agents, newest first. Parameters: tag and status, null for any; limit, offset.
_LIST: Final = f"""
SELECT {_COLUMNS} FROM agents.agents a
 WHERE a.tenant_id = ragwork.tenant() AND ($1::text IS NULL OR $1 = ANY (a.tags))
   AND ($2::text IS NULL OR a.status = $2)
 ORDER BY a.created_at DESC, a.id LIMIT $3 OFFSET $4
"""  # noqa: S608  # constant text
#: Writes what may be chosen of an agent, save its policies, null included, and advances its revision.
_UPDATE: Final = """
UPDATE agents.agents
   SET name = $2, description = $3, tags = $4, token_ttl_s = $5, scopes = $6, framework = $7,
       constraints = $8::jsonb, jwks = $9::jsonb, dpop_bound = $10, revision = revision + 1, updated_at = now()
 WHERE tenant_id = ragwork.tenant() AND id = $1
"""
_STATUS: Final = """
UPDATE agents.agents SET status = $2, revision = revision + 1, updated_at = now()
 WHERE tenant_id = ragwork.tenant() AND id = $1
"""
#: Makes the policies that exist the agent's only ones; those it keeps are not touched. Parameters: agent, policies.
_ASSIGN: Final = """
WITH gone AS (
    DELETE FROM agents.assignments
     WHERE tenant_id = ragwork.tenant() AND agent_id = $1 AND policy_id <> ALL ($2::text[])
)
INSERT INTO agents.assignments (tenant_id, agent_id, policy_id)
SELECT ragwork.tenant(), $1, p.id FROM agents.policies p
 WHERE p.tenant_id = ragwork.tenant() AND p.id = ANY ($2::text[]) AND p.deleted_at IS NULL
    ON CONFLICT DO NOTHING
"""
#: Those of the ids that are policies, held against deletion until the commit; by id against deadlocks.
_HOLD_POLICIES: Final = """
SELECT p.id FROM agents.policies p
 WHERE p.tenant_id = ragwork.tenant() AND p.id = ANY ($1::text[]) AND p.deleted_at IS NULL
 ORDER BY p.id FOR SHARE
"""
_LOCK: Final = "SELECT status FROM agents.agents WHERE tenant_id = ragwork.tenant() AND id = $1 FOR UPDATE"
#: An agent by id or client id, its policies in use, and its live secrets as three arrays of one order.
_SNAPSHOT: Final = """
SELECT a.*,
       (SELECT COALESCE(jsonb_agg(jsonb_build_object('id', p.id, 'revision', p.revision, 'source', p.source,
                                                     'mode', p.mode) ORDER BY p.id), '[]')
          FROM agents.assignments s JOIN agents.policies p ON p.tenant_id = s.tenant_id AND p.id = s.policy_id
         WHERE s.tenant_id = a.tenant_id AND s.agent_id = a.id
           AND p.deleted_at IS NULL AND p.mode <> 'inactive') AS policies,
       ARRAY(SELECT c.id FROM agents.credentials c
              WHERE c.tenant_id = a.tenant_id AND c.agent_id = a.id AND c.kind = 'client_secret'
                AND c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > now())
              ORDER BY c.created_at, c.id) AS secret_ids,
       ARRAY(SELECT c.digest FROM agents.credentials c
              WHERE c.tenant_id = a.tenant_id AND c.agent_id = a.id AND c.kind = 'client_secret'
                AND c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > now())
              ORDER BY c.created_at, c.id) AS digests,
       ARRAY(SELECT c.expires_at FROM agents.credentials c
              WHERE c.tenant_id = a.tenant_id AND c.agent_id = a.id AND c.kind = 'client_secret'
                AND c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > now())
              ORDER BY c.created_at, c.id) AS ends
  FROM agents.agents a WHERE a.tenant_id = ragwork.tenant() AND (a.id = $1 OR a.client_id = $1)
"""
_ADD_SECRET: Final = """
INSERT INTO agents.credentials (tenant_id, id, agent_id, kind, digest, expires_at)
VALUES (ragwork.tenant(), $1, $2, 'client_secret', $3, $4)
"""  # noqa: S105  # a statement
# The newest secret lives on for the overlap, all before it end: never more than two work at a time.
_OVERLAP: Final = """
WITH live AS (
    SELECT id, row_number() OVER (ORDER BY created_at DESC, id) AS age FROM agents.credentials
     WHERE tenant_id = ragwork.tenant() AND agent_id = $1 AND kind = 'client_secret' AND revoked_at IS NULL
       AND (expires_at IS NULL OR expires_at > clock_timestamp())
)
UPDATE agents.credentials c
   SET expires_at = LEAST(c.expires_at,
                          clock_timestamp() + CASE WHEN live.age = 1 THEN $2::interval ELSE interval '0' END)
  FROM live WHERE c.tenant_id = ragwork.tenant() AND c.id = live.id
RETURNING c.id, c.expires_at <= clock_timestamp() AS ended
"""
# A revoked agent's secret stays known, to be told apart from a wrong one; it opens nothing.
_END_CREDENTIALS: Final = """
UPDATE agents.credentials SET revoked_at = now()
 WHERE tenant_id = ragwork.tenant() AND agent_id = $1 AND revoked_at IS NULL AND kind <> 'client_secret'
"""
_BUMP: Final = """
UPDATE agents.agents a SET revision = revision + 1 FROM agents.assignments s
 WHERE a.tenant_id = ragwork.tenant() AND s.tenant_id = a.tenant_id AND s.agent_id = a.id AND s.policy_id = $1
RETURNING a.id, a.client_id
"""


@attrs.frozen(kw_only=True)
class Agent:
    """An agent as administrators see it; nothing in it is secret."""

    id: str
    client_id: str
    name: str
    description: str
    tags: list[str]
    status: str
    token_ttl_s: int | None
    scopes: list[str]
    framework: str | None
    constraints: dict[str, Any]
    jwks: dict[str, Any] | None
    dpop_bound: bool
    revision: int
    created_at: datetime
    updated_at: datetime
    policy_ids: list[str]


@attrs.frozen(kw_only=True)
class Snapshot:
    """An agent as token requests see it. ``secrets`` are digests by id; ``credentials`` are the ends of secrets and
    registered keys by id; ``active`` policies decide, ``shadow`` ones are only watched. ``proven_by`` is the
    credential that a request's client was authenticated with.
    """

    tenant_id: str
    id: str
    client_id: str
    name: str
    status: Status
    tags: tuple[str, ...]
    token_ttl_s: int | None
    scopes: tuple[str, ...]
    framework: str | None
    constraints: Mapping[str, object]
    jwks: Mapping[str, Any] | None
    dpop_bound: bool
    revision: int
    active: tuple[Policy, ...]
    shadow: tuple[Policy, ...]
    secrets: Mapping[str, bytes] = attrs.field(repr=False)
    credentials: Mapping[str, datetime | None]
    proven_by: str | None = None

    def holds(self, credential: str, now: datetime) -> bool:
        """Whether this secret or key is one that the agent can prove itself with."""
        end = self.credentials.get(credential, now)
        return end is None or end > now

    @classmethod
    def of(cls, row: Row) -> "Snapshot":
        return from_row(
            cls,
            row,
            tags=tuple(row["tags"]),
            scopes=tuple(row["scopes"]),
            secrets=dict(zip(row["secret_ids"], row["digests"], strict=True)),
            credentials={
                **dict(zip(row["secret_ids"], row["ends"], strict=True)),
                **dict.fromkeys(map(token_signing.key_id, (row["jwks"] or {"keys": ()})["keys"])),
            },
            active=_policies(row, "active"),
            shadow=_policies(row, "shadow"),
            proven_by=None,
        )


def _policies(row: Row, mode: str) -> tuple[Policy, ...]:
    return tuple(
        Policy(id=p["id"], revision=p["revision"], source=p["source"])
        for p in row["policies"]
        if p["mode"] == mode
    )


class AgentStore:
    """All that touches agents and their credentials. Writes act inside the caller's transaction."""

    def __init__(self, services: Services, mint: Mint) -> None:
        self._services = services
        self._mint = mint
        self._snapshots: Cache[Snapshot] = services.caches.cache("agents.snapshots", ttl_s=15)
        self._tenants: Cache[str] = services.caches.cache("agents.tenants", ttl_s=3600, size=50_000)

    async def tenant_of(self, handle: str) -> str | None:
        """The tenant of a client id, or of the id of a credential or refresh token."""

        async def load() -> str | None:
            async with self._services.db.anonymous() as tx:
                tenant_id: str | None = await tx.fetchval("SELECT agents.tenant_of($1)", handle)
            return tenant_id

        return await self._tenants.get_optional(handle, load)

    async def snapshot(self, tenant_id: str, handle: str) -> Snapshot | None:
        """The agent of an id or client id, from a cache that any change reaches within 1 s."""

        async def load() -> Snapshot | None:
            async with self._services.db.tenant(tenant_id, "read") as tx:
                return await self.fresh(tx, handle)

        return await self._snapshots.get_optional(f"{tenant_id}/{handle}", load)

    async def fresh(self, tx: Transaction, handle: str) -> Snapshot | None:
        """The same as the transaction sees it."""
        row = await tx.fetchrow(_SNAPSHOT, handle)
        return None if row is None else Snapshot.of(row)

    async def create(
        self, tx: Transaction, by: str, values: Mapping[str, Any], ends: datetime | None
    ) -> tuple[Agent, MintedCredential]:
        """A new agent and its first client secret, which works until ``ends``. ``values`` has the fields of
        ``Agent`` that may be chosen.
        """
        agent_id, client_id = str(uuid.uuid4()), f"agt_{uuid.uuid4().hex[:24]}"
        await tx.execute(
            _INSERT,
            agent_id,
            client_id,
            *(values[name] for name in ("name", "description", "tags", "token_ttl_s", "scopes")),
            *(values[name] for name in ("framework", "constraints", "jwks", "dpop_bound")),
            by,
        )
        await self._assign(tx, agent_id, values["policy_ids"])
        return await self.get(tx, agent_id), await self._add_secret(tx, agent_id, ends)

    async def get(self, tx: Transaction, agent_id: str) -> Agent:
        """Raises ``Problem`` 404 AGENT_NOT_FOUND."""
        row = await tx.fetchrow(_GET, agent_id)
        if row is None:
            raise agent_not_found(agent_id)
        return from_row(Agent, row)

    async def page(
        self, tx: Transaction, *, tag: str | None, status: str | None, limit: int, offset: int
    ) -> Sequence[Agent]:
        return [from_row(Agent, row) for row in await tx.fetch(_LIST, tag, status, limit, offset)]

    async def update(self, tx: Transaction, agent: Agent, policy_ids: list[str] | None) -> Agent:
        """Write the changed ``agent`` whole; ``None`` leaves its policies. Streams end that it could lose by it."""
        await tx.execute(
            _UPDATE,
            agent.id,
            agent.name,
            agent.description,
            agent.tags,
            agent.token_ttl_s,
            agent.scopes,
            agent.framework,
            agent.constraints,
            agent.jwks,
            agent.dpop_bound,
        )
        if policy_ids is not None:
            await self._assign(tx, agent.id, policy_ids)
        await self.changed(tx, agent)
        await self._services.streams.cut(tx, user_id=agent.id)
        return await self.get(tx, agent.id)

    async def set_status(self, tx: Transaction, agent: Agent, status: Status) -> Agent:
        """Change the status; a revoked agent's credentials end for good."""
        await tx.execute(_STATUS, agent.id, status)
        if status == "revoked":
            await tx.execute(_END_CREDENTIALS, agent.id)
        await self.changed(tx, agent)
        return await self.get(tx, agent.id)

    async def locked(self, tx: Transaction, agent_id: str) -> Agent:
        """The agent, held until the transaction ends. ``Problem`` 404."""
        if await tx.fetchval(_LOCK, agent_id) is None:
            raise agent_not_found(agent_id)
        return await self.get(tx, agent_id)

    async def rotate_secret(
        self, tx: Transaction, agent: Agent, overlap: timedelta, ends: datetime | None
    ) -> tuple[MintedCredential, Sequence[str]]:
        """A new client secret for an agent that the transaction holds; the one before works for ``overlap``. And
        the ids of those that this ended.
        """
        before = await tx.fetch(_OVERLAP, agent.id, overlap)
        secret = await self._add_secret(tx, agent.id, ends)
        await self.changed(tx, agent)
        return secret, [row["id"] for row in before if row["ended"]]

    async def changed(self, tx: Transaction, agent: Agent) -> None:
        """Drop what is cached of the agent everywhere."""
        await self._snapshots.invalidate(tx, f"{tx.tenant_id}/{agent.id}")
        await self._snapshots.invalidate(tx, f"{tx.tenant_id}/{agent.client_id}")

    async def policy_changed(self, tx: Transaction, policy_id: str) -> None:
        """Advance and drop every agent that the policy is assigned to."""
        for row in await tx.fetch(_BUMP, policy_id):
            await self._snapshots.invalidate(tx, f"{tx.tenant_id}/{row['id']}")
            await self._snapshots.invalidate(tx, f"{tx.tenant_id}/{row['client_id']}")
            await self._services.streams.cut(tx, user_id=row["id"])

    async def _add_secret(self, tx: Transaction, agent_id: str, ends: datetime | None) -> MintedCredential:
        secret = self._mint.new(opaque_tokens.CLIENT_SECRET)
        await tx.execute(_ADD_SECRET, secret.id, agent_id, secret.digest, ends)
        return secret

    async def _assign(self, tx: Transaction, agent_id: str, policy_ids: Sequence[str]) -> None:
        found = (
            {row["id"] for row in await tx.fetch(_HOLD_POLICIES, list(policy_ids))} if policy_ids else set()
        )
        unknown = next((policy_id for policy_id in policy_ids if policy_id not in found), None)
        if unknown is not None:
            raise Problem("POLICY_NOT_FOUND", f"policy {unknown!r} does not exist", status=404)
        await tx.execute(_ASSIGN, agent_id, list(policy_ids))


def agent_not_found(agent_id: str) -> Problem:
    """404 AGENT_NOT_FOUND, for an id of another tenant as well."""
    return Problem("AGENT_NOT_FOUND", f"agent {agent_id[:60]!r} does not exist", status=404)
