"""Who is in which group, and what follows from it for roles."""

from collections.abc import Collection
from typing import Final

from ragwork_hooks.auth import Role
from ragwork_hooks.storage import Transaction

_TOUCH_USERS: Final = """
UPDATE scim.users SET version = version + 1 WHERE tenant_id = ragwork.tenant() AND id = ANY ($1::text[])
"""
#: The different roles that users' groups are bound to, without users who have none.
_ROLES: Final = """
SELECT m.user_id, array_agg(DISTINCT g.role_binding) AS bindings
  FROM scim.members m JOIN scim.groups g ON g.tenant_id = m.tenant_id AND g.id = m.group_id
 WHERE m.tenant_id = ragwork.tenant() AND m.user_id = ANY ($1::text[]) AND g.role_binding IS NOT NULL
 GROUP BY m.user_id
"""


async def touch_users(tx: Transaction, user_ids: Collection[str]) -> None:
    """Give users whose groups have changed a new version."""
    await tx.execute(_TOUCH_USERS, list(user_ids))


async def granted(tx: Transaction, user_ids: Collection[str]) -> dict[str, Role]:
    """The highest role that a user's groups are bound to, for those who have any."""
    rows = await tx.fetch(_ROLES, list(user_ids))
    return {row["user_id"]: max(Role.parse(name) for name in row["bindings"]) for row in rows}
