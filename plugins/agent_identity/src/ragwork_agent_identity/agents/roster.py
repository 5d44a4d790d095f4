"""Agents as those who give grants look them up: a grant to an agent is one to the user of its id."""

import difflib
from collections.abc import Collection
from typing import Final

from ragwork_hooks.storage import Transaction

_KNOWN: Final = """
SELECT id FROM agents.agents
 WHERE tenant_id = ragwork.tenant() AND id = ANY ($1::text[]) AND status <> 'revoked'
"""
_ACTIVE: Final = """
SELECT id FROM agents.agents
 WHERE tenant_id = ragwork.tenant() AND id = ANY ($1::text[]) AND status = 'active'
"""
_CANDIDATES: Final = """
SELECT id, $1 IN (name, client_id) AS called FROM agents.agents
 WHERE tenant_id = ragwork.tenant() AND status <> 'revoked'
 ORDER BY $1 IN (name, client_id) DESC, left(id, 8) = left($1, 8) DESC, id LIMIT 200
"""


class AgentRoster:
    """Implements ``ragwork_hooks.auth.Roster``. Has no state."""

    name = "agents"
    kinds = frozenset({"user"})

    async def known(self, tx: Transaction, kind: str, ids: Collection[str]) -> frozenset[str]:
        """See ``Roster``."""
        del kind  # there is one
        return frozenset(row["id"] for row in await tx.fetch(_KNOWN, list(ids)))

    async def active(self, tx: Transaction, kind: str, ids: Collection[str]) -> frozenset[str]:
        """See ``Roster``."""
        del kind  # there is one
        return frozenset(row["id"] for row in await tx.fetch(_ACTIVE, list(ids)))

    async def nearest(self, tx: Transaction, kind: str, wanted: str) -> str | None:
        """By name or client id, then by likeness of the ids."""
        del kind  # there is one
        rows = await tx.fetch(_CANDIDATES, wanted)
        if rows and rows[0]["called"]:
            return str(rows[0]["id"])
        return next(iter(difflib.get_close_matches(wanted, [row["id"] for row in rows], n=1)), None)
