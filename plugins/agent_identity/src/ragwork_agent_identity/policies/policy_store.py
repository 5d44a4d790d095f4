"""Policies in Postgres: checked by the engine, every change a version."""

import difflib
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs
from ragwork_hooks.errors import Problem
from ragwork_hooks.policy import Policy, PolicySourceError
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.rows import from_row

from ragwork_agent_identity.agents.agent_store import AgentStore
from ragwork_agent_identity.policies.policy_engine_client import PolicyEngineClient

_COLUMNS: Final = "id, name, description, mode, content, revision, created_at, updated_at"
#: A new policy and its version 1. Parameters: id, name, description, mode, content, source, author.
_INSERT: Final = """
WITH versioned AS (
    INSERT INTO agents.policy_versions (tenant_id, policy_id, revision, name, content, source, created_by)
    VALUES (ragwork.tenant(), $1, 1, $2, $5, $6, $7)
)
INSERT INTO agents.policies (tenant_id, id, name, description, mode, content, source)
VALUES (ragwork.tenant(), $1, $2, $3, $4, $5, $6)
"""
#: Writes a policy and its next version, $7; the versions' primary key refuses one that is there already.
_UPDATE: Final = """
WITH versioned AS (
    INSERT INTO agents.policy_versions (tenant_id, policy_id, revision, name, content, source, created_by)
    VALUES (ragwork.tenant(), $1, $7, $2, $5, $6, $8)
)
UPDATE agents.policies
   SET name = $2, description = $3, mode = $4, content = $5, source = $6, revision = $7, updated_at = now()
 WHERE tenant_id = ragwork.tenant() AND id = $1
"""
_GET: Final = f"""
SELECT {_COLUMNS} FROM agents.policies
 WHERE tenant_id = ragwork.tenant() AND id = $1 AND deleted_at IS NULL
"""  # noqa: S608  # constant text
_LIST: Final = f"""
SELECT {_COLUMNS} FROM agents.policies
 WHERE tenant_id = ragwork.tenant() AND deleted_at IS NULL AND (NOT $1 OR mode = 'active')
 ORDER BY created_at DESC, id LIMIT $2 OFFSET $3
"""  # noqa: S608  # constant text
_DELETE: Final = """
UPDATE agents.policies SET deleted_at = now(), mode = 'inactive', updated_at = now()
 WHERE tenant_id = ragwork.tenant() AND id = $1
"""
_UNASSIGN: Final = "DELETE FROM agents.assignments WHERE tenant_id = ragwork.tenant() AND policy_id = $1"
_MODE: Final = """
UPDATE agents.policies SET mode = $2, updated_at = now() WHERE tenant_id = ragwork.tenant() AND id = $1
"""
_VERSIONS: Final = """
SELECT revision, name, content, source, created_by, created_at FROM agents.policy_versions
 WHERE tenant_id = ragwork.tenant() AND policy_id = $1 ORDER BY revision DESC LIMIT $2 OFFSET $3
"""
_VERSION: Final = """
SELECT revision, name, content, source, created_by, created_at FROM agents.policy_versions
 WHERE tenant_id = ragwork.tenant() AND policy_id = $1 AND revision = $2
"""
_SOURCE: Final = "SELECT source FROM agents.policies WHERE tenant_id = ragwork.tenant() AND id = $1"


@attrs.frozen(kw_only=True)
class StoredPolicy:
    """A policy. ``content`` is the author's text; ``revision`` counts its versions from 1."""

    id: str
    name: str
    description: str
    mode: str
    content: str
    revision: int
    created_at: datetime
    updated_at: datetime


@attrs.frozen(kw_only=True)
class Version:
    """A policy as it was. ``source`` is the text as the engine takes it."""

    revision: int
    name: str
    content: str
    source: str
    created_by: str
    created_at: datetime


class PolicyStore:
    """All that touches policies. Writes act inside the caller's transaction and advance the agents concerned."""

    def __init__(self, agents: AgentStore, engine: PolicyEngineClient) -> None:
        self._agents = agents
        self._engine = engine

    async def check(self, content: str) -> str:
        """The text as the engine takes it. ``Problem`` 400 says where it is wrong."""
        try:
            return await self._engine.check(content)
        except PolicySourceError as error:
            raise Problem(
                "VALIDATION_ERROR",
                f"content, line {error.line}, column {error.column}: {error.message}",
                status=400,
                details={"line": error.line, "column": error.column},
            ) from error

    async def create(
        self, tx: Transaction, by: str, *, name: str, description: str, mode: str, content: str, source: str
    ) -> StoredPolicy:
        """A new policy, its ``source`` checked before."""
        policy_id = str(uuid.uuid4())
        await tx.execute(_INSERT, policy_id, name, description, mode, content, source, by)
        return await self.get(tx, policy_id)

    async def get(self, tx: Transaction, policy_id: str) -> StoredPolicy:
        """Raises ``Problem`` 404 POLICY_NOT_FOUND."""
        row = await tx.fetchrow(_GET, policy_id)
        if row is None:
            raise _not_found(policy_id)
        return from_row(StoredPolicy, row)

    async def locked(self, tx: Transaction, policy_id: str) -> StoredPolicy:
        """The same, held until the transaction ends."""
        row = await tx.fetchrow(_GET + " FOR UPDATE", policy_id)
        if row is None:
            raise _not_found(policy_id)
        return from_row(StoredPolicy, row)

    async def page(
        self, tx: Transaction, *, active_only: bool, limit: int, offset: int
    ) -> Sequence[StoredPolicy]:
        return [from_row(StoredPolicy, row) for row in await tx.fetch(_LIST, active_only, limit, offset)]

    async def update(self, tx: Transaction, by: str, policy: StoredPolicy, source: str) -> StoredPolicy:
        """Write the changed ``policy`` as its next version."""
        await tx.execute(
            _UPDATE,
            policy.id,
            policy.name,
            policy.description,
            policy.mode,
            policy.content,
            source,
            policy.revision + 1,
            by,
        )
        await self._agents.policy_changed(tx, policy.id)
        return await self.get(tx, policy.id)

    async def set_mode(self, tx: Transaction, policy_id: str, mode: str) -> StoredPolicy:
        """Activate, watch or switch off; no new version."""
        await tx.execute(_MODE, policy_id, mode)
        await self._agents.policy_changed(tx, policy_id)
        return await self.get(tx, policy_id)

    async def delete(self, tx: Transaction, policy_id: str) -> None:
        """Take it from everybody; its versions are kept."""
        await tx.execute(_DELETE, policy_id)
        await self._agents.policy_changed(tx, policy_id)
        await tx.execute(_UNASSIGN, policy_id)

    async def versions(
        self, tx: Transaction, policy_id: str, *, limit: int, offset: int
    ) -> Sequence[Version]:
        """A window of the versions, newest first."""
        return [from_row(Version, row) for row in await tx.fetch(_VERSIONS, policy_id, limit, offset)]

    async def version(self, tx: Transaction, policy_id: str, revision: int) -> Version:
        """Raises ``Problem`` 404."""
        row = await tx.fetchrow(_VERSION, policy_id, revision)
        if row is None:
            raise Problem("POLICY_NOT_FOUND", f"the policy has no version {revision}", status=404)
        return from_row(Version, row)

    async def judgeable(self, tx: Transaction, policy: StoredPolicy) -> Policy:
        """The policy as an engine decides it."""
        source = str(await tx.fetchval(_SOURCE, policy.id))
        return Policy(id=policy.id, revision=policy.revision, source=source)


def difference(old: Version, new: Version) -> str:
    """A unified diff of two versions' texts."""
    lines = difflib.unified_diff(
        old.content.splitlines(),
        new.content.splitlines(),
        f"version {old.revision}",
        f"version {new.revision}",
        lineterm="",
    )
    return "\n".join(lines)


def _not_found(policy_id: str) -> Problem:
    return Problem("POLICY_NOT_FOUND", f"policy {policy_id[:60]!r} does not exist", status=404)
