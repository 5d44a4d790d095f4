"""The roles that an admin has bound groups to."""

from collections.abc import Sequence
from typing import Final

import attrs
from ragwork_hooks.errors import not_found
from ragwork_hooks.storage import Transaction

from ragwork_scim.tenant_lock import acquire

#: A tenant's groups with their roles and numbers of members, oldest first. Parameters: limit, offset.
_PAGE: Final = """
SELECT g.id, g.display_name, g.external_id, g.role_binding,
       (SELECT count(*) FROM scim.members m WHERE m.tenant_id = g.tenant_id AND m.group_id = g.id) AS members
  FROM scim.groups g WHERE g.tenant_id = ragwork.tenant()
 ORDER BY g.created_at, g.id LIMIT $1 OFFSET $2
"""
_GET: Final = """
SELECT g.id, g.display_name, g.external_id, g.role_binding,
       (SELECT count(*) FROM scim.members m WHERE m.tenant_id = g.tenant_id AND m.group_id = g.id) AS members
  FROM scim.groups g WHERE g.tenant_id = ragwork.tenant() AND g.id = $1 FOR UPDATE
"""
_BIND: Final = "UPDATE scim.groups SET role_binding = $2 WHERE tenant_id = ragwork.tenant() AND id = $1"
_MEMBERS: Final = "SELECT user_id FROM scim.members WHERE tenant_id = ragwork.tenant() AND group_id = $1"


@attrs.frozen(kw_only=True)
class GroupBinding:
    """A provisioned group, as an admin sees it. Its id is also what a document grant to the group names."""

    #: The group. Example: "6b5a4c3d-2e1f-4099-8877-665544332211"
    id: str
    #: What the identity provider calls it. Example: "Editors"
    display_name: str
    #: Its id there; null if none was given. Example: "00g1abcd"
    external_id: str | None
    #: The role that it gives; null for none. Example: "editor"
    role_binding: str | None
    #: How many people are in it. Example: 12
    members: int


async def page(tx: Transaction, limit: int, offset: int) -> list[GroupBinding]:
    """Groups, oldest first."""
    return [GroupBinding(**row) for row in await tx.fetch(_PAGE, limit, offset)]


async def locked(tx: Transaction, group_id: str) -> GroupBinding:
    """The group, in the tenant's turn and held for a change. Raises ``Problem`` 404."""
    await acquire(tx)
    row = await tx.fetchrow(_GET, group_id)
    if row is None:
        raise not_found("group", group_id)
    return GroupBinding(**row)


async def bind(tx: Transaction, group: GroupBinding, role: str | None) -> GroupBinding:
    """The locked group with its new role."""
    await tx.execute(_BIND, group.id, role)
    return attrs.evolve(group, role_binding=role)


async def members(tx: Transaction, group_id: str) -> Sequence[str]:
    """Ids of the users in the group."""
    return [row["user_id"] for row in await tx.fetch(_MEMBERS, group_id)]
