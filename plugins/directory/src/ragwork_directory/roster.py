"""Users and groups as those who give grants look them up."""

import difflib
from collections.abc import Collection
from typing import Final

from ragwork_hooks.storage import Transaction

_TABLES: Final = {"user": "directory.users", "group": "directory.groups"}
#: What people call a user or a group beside its id.
_CALLED: Final = {"user": "email", "group": "name"}
_CANDIDATES: Final = 200


class DirectoryRoster:
    """Implements ``ragwork_hooks.auth.Roster``. Has no state."""

    name = "directory"
    kinds = frozenset(_TABLES)

    async def known(self, tx: Transaction, kind: str, ids: Collection[str]) -> frozenset[str]:
        """Disabled users count: a grant outlives a leave."""
        rows = await tx.fetch(
            f"SELECT id FROM {_TABLES[kind]} WHERE tenant_id = ragwork.tenant() AND id = ANY($1::text[])",  # noqa: S608
            list(ids),
        )
        return frozenset(row["id"] for row in rows)

    async def active(self, tx: Transaction, kind: str, ids: Collection[str]) -> frozenset[str]:
        """A group is never disabled."""
        if kind == "group":
            return await self.known(tx, kind, ids)
        rows = await tx.fetch(
            """SELECT id FROM directory.users
            WHERE tenant_id = ragwork.tenant() AND id = ANY($1::text[]) AND active""",
            list(ids),
        )
        return frozenset(row["id"] for row in rows)

    async def nearest(self, tx: Transaction, kind: str, wanted: str) -> str | None:
        """By e-mail address or display name first, then by likeness of the ids."""
        rows = await tx.fetch(
            f"""SELECT id, lower({_CALLED[kind]}) = lower($1) AS called FROM {_TABLES[kind]}
            WHERE tenant_id = ragwork.tenant()
            ORDER BY lower({_CALLED[kind]}) IS NOT DISTINCT FROM lower($1) DESC,
                lower(left(id, 2)) = lower(left($1, 2)) DESC, abs(char_length(id) - char_length($1)), id
            LIMIT {_CANDIDATES}""",  # noqa: S608  # constants of this module
            wanted,
        )
        if rows and rows[0]["called"]:
            return str(rows[0]["id"])
        by_lower = {row["id"].lower(): row["id"] for row in rows}
        close = difflib.get_close_matches(wanted.lower(), by_lower, n=1)
        return by_lower[close[0]] if close else None
