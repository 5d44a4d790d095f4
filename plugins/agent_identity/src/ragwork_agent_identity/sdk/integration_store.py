"""Integrations: which capabilities they have, and the credential that agents are handed for them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
from ragwork_hooks.errors import Problem
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.rows import from_row

from ragwork_agent_identity.encryption import SecretBox

#: Creates or changes an integration; null leaves. Parameters: name, capabilities, denied, credential's type, sealed.
_PUT: Final = """
INSERT INTO agents.integrations AS i (tenant_id, name, capabilities, deny_always, credential_type, sealed)
VALUES (ragwork.tenant(), $1, COALESCE($2::jsonb, '{}'), COALESCE($3::text[], '{}'), $4, $5)
ON CONFLICT (tenant_id, name) DO UPDATE
   SET capabilities = COALESCE($2::jsonb, i.capabilities), deny_always = COALESCE($3::text[], i.deny_always),
       credential_type = COALESCE($4, i.credential_type), sealed = COALESCE($5, i.sealed), updated_at = now()
RETURNING name, capabilities, deny_always, credential_type
"""
_LIST: Final = """
SELECT name, capabilities, deny_always, credential_type FROM agents.integrations
 WHERE tenant_id = ragwork.tenant() AND ($1::text[] IS NULL OR name = ANY ($1))
 ORDER BY name LIMIT $2 OFFSET $3
"""
_CREDENTIAL: Final = """
SELECT credential_type, sealed FROM agents.integrations
 WHERE tenant_id = ragwork.tenant() AND name = $1 AND sealed IS NOT NULL
"""
_DELETE: Final = (
    "DELETE FROM agents.integrations WHERE tenant_id = ragwork.tenant() AND name = $1 RETURNING name"
)


@attrs.frozen(kw_only=True)
class Integration:
    """An integration without its credential's value."""

    name: str
    capabilities: dict[str, Any]
    deny_always: list[str]
    credential_type: str | None


class Integrations:
    """All that touches integrations. Credentials lie sealed."""

    def __init__(self, secret_box: SecretBox) -> None:
        self._secret_box = secret_box

    async def put(
        self,
        tx: Transaction,
        name: str,
        *,
        capabilities: Mapping[str, object] | None = None,
        deny_always: Sequence[str] | None = None,
        credential: tuple[str, str] | None = None,
    ) -> Integration:
        """Create or change; ``None`` leaves. ``credential`` is its type and value."""
        kind, sealed = None, None
        if credential is not None:
            kind, value = credential
            sealed = self._secret_box.seal(value.encode(), "integration", tx.tenant_id, name)
        denied = None if deny_always is None else list(deny_always)
        row = await tx.fetchrow(_PUT, name, capabilities, denied, kind, sealed)
        return from_row(Integration, row or {})

    async def page(
        self, tx: Transaction, names: Sequence[str] | None, *, limit: int, offset: int
    ) -> Sequence[Integration]:
        """A window of all, or of those of ``names`` that exist, by name."""
        rows = await tx.fetch(_LIST, None if names is None else list(names), limit, offset)
        return [from_row(Integration, row) for row in rows]

    async def credential(self, tx: Transaction, name: str) -> tuple[str, str]:
        """Type and value. ``Problem`` 404."""
        row = await tx.fetchrow(_CREDENTIAL, name)
        if row is None:
            raise Problem("NOT_FOUND", f"integration {name[:60]!r} has no credential")
        return row["credential_type"], self._secret_box.open(
            row["sealed"], "integration", tx.tenant_id, name
        ).decode()

    async def delete(self, tx: Transaction, name: str) -> None:
        """``Problem`` 404."""
        if await tx.fetchval(_DELETE, name) is None:
            raise Problem("NOT_FOUND", f"integration {name[:60]!r} does not exist")
