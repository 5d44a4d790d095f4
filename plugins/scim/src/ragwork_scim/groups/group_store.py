"""Groups that SCIM manages and their members, in Postgres. Writers hold the tenant's turn."""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

import attrs
from ragwork_hooks.errors import not_found
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.rows import from_row

from ragwork_scim.protocol.filters import Condition, ResourceRange
from ragwork_scim.protocol.folding import fold
from ragwork_scim.protocol.models import Group
from ragwork_scim.protocol.urls import GROUPS, USERS, meta

_COLUMNS: Final = (
    "g.id, g.display_name, g.external_id, g.role_binding, g.version, g.created_at, g.modified_at"
)
_MEMBERS: Final = """
ARRAY(SELECT json_build_object('value', u.id, 'display', COALESCE(u.doc->>'displayName', u.doc->>'userName'))
        FROM scim.members m JOIN scim.users u ON u.tenant_id = m.tenant_id AND u.id = m.user_id
       WHERE m.tenant_id = g.tenant_id AND m.group_id = g.id ORDER BY u.created_at, u.id)
"""
_NOBODY: Final = "'{}'::json[]"
_INSERT: Final = """
INSERT INTO scim.groups (tenant_id, id, display_name, display_key, external_id)
VALUES (ragwork.tenant(), $1, $2, $3, $4)
"""
# Its members show its name, so their entity tags change with it.
_RENAME: Final = """
WITH touched AS (
    UPDATE scim.users SET version = version + 1
     WHERE tenant_id = ragwork.tenant()
       AND id IN (SELECT user_id FROM scim.members WHERE tenant_id = ragwork.tenant() AND group_id = $1)
)
UPDATE scim.groups SET display_name = $2, display_key = $3, external_id = $4
 WHERE tenant_id = ragwork.tenant() AND id = $1
"""
_STRANGERS: Final = """
SELECT wanted.id FROM unnest($1::text[]) AS wanted (id)
 WHERE NOT EXISTS (SELECT FROM scim.users u WHERE u.tenant_id = ragwork.tenant() AND u.id = wanted.id)
 ORDER BY wanted.id LIMIT 1
"""
#: Takes members out and gives them. Parameters: group, whether all but some go, those who stay, else those who go.
_LEAVE: Final = """
DELETE FROM scim.members
 WHERE tenant_id = ragwork.tenant() AND group_id = $1
   AND CASE WHEN $2 THEN user_id <> ALL ($3::text[]) ELSE user_id = ANY ($4::text[]) END
RETURNING user_id
"""
_JOIN: Final = """
INSERT INTO scim.members (tenant_id, group_id, user_id)
SELECT ragwork.tenant(), $1, wanted.id FROM unnest($2::text[]) AS wanted (id)
ON CONFLICT DO NOTHING RETURNING user_id
"""
_TOUCH: Final = """
UPDATE scim.groups SET version = version + 1, modified_at = now() WHERE tenant_id = ragwork.tenant() AND id = $1
"""


@attrs.frozen(kw_only=True)
class StoredGroup:
    """One row and its members as ``{value, display}``; ``None`` when they were not asked for."""

    id: str
    display_name: str
    external_id: str | None
    role_binding: str | None
    version: int
    created_at: datetime
    modified_at: datetime
    members: Sequence[dict[str, str]] | None

    def resource(self, *, names: bool) -> dict[str, object]:
        """The SCIM resource, its members with their ``names`` or without; its role binding is no part of it."""
        body: dict[str, object] = {
            "schemas": [str(Group.__schema__)],
            "id": self.id,
            "displayName": self.display_name,
        }
        if self.external_id is not None:
            body["externalId"] = self.external_id
        if self.members:
            body["members"] = [
                {
                    "value": member["value"],
                    "$ref": USERS + member["value"],
                    "type": "User",
                    **({"display": member["display"]} if names else {}),
                }
                for member in self.members
            ]
        times = (self.created_at, self.modified_at)
        return {**body, "meta": meta("Group", GROUPS, self.id, self.version, times)}


async def get(tx: Transaction, group_id: str, *, members: bool = True) -> StoredGroup:
    """Raises ``Problem`` 404."""
    sql = (
        f"SELECT {_COLUMNS}, {_MEMBERS if members else 'NULL::json[]'} AS members FROM scim.groups g"  # noqa: S608  # made of constants
        " WHERE g.tenant_id = ragwork.tenant() AND g.id = $1"
    )
    row = await tx.fetchrow(sql, group_id)
    if row is None:
        raise not_found("group", group_id)
    return from_row(StoredGroup, row)


async def insert(tx: Transaction, display_name: str, external_id: str | None) -> str:
    """A new group's id, which is ours."""
    group_id = str(uuid.uuid4())
    await tx.execute(_INSERT, group_id, display_name, fold(display_name), external_id)
    return group_id


async def rename(tx: Transaction, group_id: str, display_name: str, external_id: str | None) -> None:
    await tx.execute(_RENAME, group_id, display_name, fold(display_name), external_id)


async def touch(tx: Transaction, group_id: str) -> None:
    """Give the group a new version."""
    await tx.execute(_TOUCH, group_id)


async def delete(tx: Transaction, group_id: str) -> None:
    await tx.execute("DELETE FROM scim.groups WHERE tenant_id = ragwork.tenant() AND id = $1", group_id)


async def leave(
    tx: Transaction, group_id: str, removed: Collection[str], *, all_but: Collection[str] | None = None
) -> list[str]:
    """Take ``removed`` out of the group, or with ``all_but`` everybody else; who did leave, sorted."""
    rows = await tx.fetch(_LEAVE, group_id, all_but is not None, list(all_but or ()), list(removed))
    return sorted(row["user_id"] for row in rows)


async def join(tx: Transaction, group_id: str, added: Collection[str]) -> list[str]:
    """Take ``added`` into the group; who was not in it, sorted. Raises ``Problem`` 404 for a stranger."""
    if not added:
        return []
    wanted = sorted(added)
    stranger = await tx.fetchval(_STRANGERS, wanted)
    if stranger is not None:
        raise not_found("user", stranger)
    return sorted(row["user_id"] for row in await tx.fetch(_JOIN, group_id, wanted))


async def count(tx: Transaction, where: Condition) -> int:
    sql = f"SELECT count(*) FROM scim.groups g WHERE g.tenant_id = ragwork.tenant() AND {where.sql}"  # noqa: S608  # compiled, values are parameters
    total: int = await tx.fetchval(sql, *where.parameters)
    return total


async def page(tx: Transaction, wanted: ResourceRange, *, members: bool) -> Sequence[StoredGroup]:
    sql = (
        f"SELECT {_COLUMNS}, {_MEMBERS if members else 'NULL::json[]'} AS members FROM scim.groups g"  # noqa: S608  # compiled, values are parameters
        f" WHERE g.tenant_id = ragwork.tenant() AND {wanted.sql}"
    )
    return [from_row(StoredGroup, row) for row in await tx.fetch(sql, *wanted.where.parameters)]
