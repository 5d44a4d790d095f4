"""Dual control: a higher role waits until another admin than the one who asked approves it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs
from ragwork_hooks.auth import Role
from ragwork_hooks.credentials import new_id
from ragwork_hooks.errors import not_found
from ragwork_hooks.storage import Row, Transaction

# A new wish takes the place of an older one, with an id of its own: an approval is of what was read.
_ASK: Final = """
INSERT INTO sso.role_requests (tenant_id, id, user_id, role, requested_by)
VALUES (ragwork.tenant(), $1, $2, $3, $4)
ON CONFLICT (tenant_id, user_id) DO UPDATE
   SET id = EXCLUDED.id, role = EXCLUDED.role, requested_by = EXCLUDED.requested_by, created_at = now()
RETURNING *
"""
# A wish that nobody decided on for so long is over.
_LIST: Final = """
SELECT * FROM sso.role_requests
 WHERE tenant_id = ragwork.tenant() AND created_at > now() - interval '7 days'
 ORDER BY created_at, id LIMIT 500
"""
_LOCK: Final = """
SELECT * FROM sso.role_requests
 WHERE tenant_id = ragwork.tenant() AND created_at > now() - interval '7 days' AND id = $1 FOR UPDATE
"""
_DROP: Final = "DELETE FROM sso.role_requests WHERE tenant_id = ragwork.tenant() AND id = $1"


@attrs.frozen(kw_only=True)
class RoleRequest:
    """A wish: ``requested_by`` is the admin's user id."""

    id: str
    user_id: str
    role: Role
    requested_by: str
    created_at: datetime

    @classmethod
    def of(cls, row: Row) -> "RoleRequest":
        values = {field.name: row[field.name] for field in attrs.fields(cls)}
        return cls(**(values | {"role": Role.parse(row["role"])}))


async def ask(tx: Transaction, user_id: str, role: Role, requested_by: str) -> RoleRequest:
    """The user's one open wish from now on."""
    request_id = new_id()
    row = await tx.fetchrow(_ASK, request_id, user_id, role.label, requested_by)
    assert row is not None  # INSERT … RETURNING with DO UPDATE always gives its row
    return RoleRequest.of(row)


async def pending(tx: Transaction) -> Sequence[RoleRequest]:
    """The tenant's open wishes, oldest first."""
    return [RoleRequest.of(row) for row in await tx.fetch(_LIST)]


async def locked(tx: Transaction, request_id: str) -> RoleRequest:
    """The open wish, held until the transaction ends. ``Problem`` 404."""
    row = await tx.fetchrow(_LOCK, request_id)
    if row is None:
        raise not_found("role request", request_id)
    return RoleRequest.of(row)


async def close(tx: Transaction, request_id: str) -> None:
    """The wish was decided on."""
    await tx.execute(_DROP, request_id)
