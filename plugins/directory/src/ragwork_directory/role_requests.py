"""Dual control: what would raise a role waits here until two admins want it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs
from ragwork_hooks.auth import Role
from ragwork_hooks.errors import not_found
from ragwork_hooks.storage import Row, Transaction
from ragwork_toolkit.bearer_tokens.format import new_id
from ragwork_toolkit.rows import from_row

#: The kind of subject that an approval can raise; the others are agreed on where they are changed.
USER: Final = "user"

# Another wish, or one that is over, gives way to the new one under an id of its own: an approval is of what was read.
# The same wish again, as a machine repeats it with every login, stays what it is.
_ASK: Final = """
INSERT INTO directory.role_requests AS r (tenant_id, id, subject_type, subject_id, role, state, requested_by)
VALUES (ragwork.tenant(), $1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, subject_type, subject_id) DO UPDATE
   SET id = EXCLUDED.id, role = EXCLUDED.role, state = EXCLUDED.state, requested_by = EXCLUDED.requested_by,
       created_at = now()
 WHERE (r.role, r.state, r.requested_by) <> (EXCLUDED.role, EXCLUDED.state, EXCLUDED.requested_by)
    OR r.created_at <= now() - interval '7 days'
"""
_OPEN: Final = "tenant_id = ragwork.tenant() AND created_at > now() - interval '7 days'"
_PAGE: Final = f"""
SELECT * FROM directory.role_requests WHERE {_OPEN} ORDER BY created_at, id LIMIT $1 OFFSET $2
"""  # noqa: S608  # made of constants
_BY_ID: Final = f"SELECT * FROM directory.role_requests WHERE {_OPEN} AND id = $1 FOR UPDATE"  # noqa: S608
_OF: Final = f"""
SELECT * FROM directory.role_requests WHERE {_OPEN} AND subject_type = $1 AND subject_id = $2 FOR UPDATE
"""  # noqa: S608
_TAKE_UP: Final = """
UPDATE directory.role_requests SET requested_by = $2 WHERE tenant_id = ragwork.tenant() AND id = $1
"""
_DROP: Final = """
DELETE FROM directory.role_requests WHERE tenant_id = ragwork.tenant() AND subject_type = $1 AND subject_id = $2
"""


@attrs.frozen(kw_only=True)
class RoleRequest:
    """A wish. ``requested_by`` is a user's id or a machine's name; only an active admin counts."""

    id: str
    subject_type: str
    subject_id: str
    role: Role
    state: str
    requested_by: str
    created_at: datetime

    @classmethod
    def of(cls, row: Row) -> "RoleRequest":
        return from_row(cls, row, role=Role.parse(row["role"]))


async def ask(tx: Transaction, subject: tuple[str, str], role: Role, state: str, by: str) -> None:
    """The subject's one open wish from now on."""
    await tx.execute(_ASK, new_id(), *subject, role.label, state, by)


async def page(tx: Transaction, limit: int, offset: int) -> Sequence[RoleRequest]:
    """The tenant's open wishes, oldest first."""
    return [RoleRequest.of(row) for row in await tx.fetch(_PAGE, limit, offset)]


async def locked(tx: Transaction, request_id: str) -> RoleRequest:
    """The open wish, held until the transaction ends. ``Problem`` 404."""
    row = await tx.fetchrow(_BY_ID, request_id)
    if row is None:
        raise not_found("role request", request_id)
    return RoleRequest.of(row)


async def of_subject(tx: Transaction, subject: tuple[str, str]) -> RoleRequest | None:
    """The subject's open wish, held until the transaction ends."""
    row = await tx.fetchrow(_OF, *subject)
    return None if row is None else RoleRequest.of(row)


async def take_up(tx: Transaction, request_id: str, by: str) -> None:
    """``by`` is who wants it from now on."""
    await tx.execute(_TAKE_UP, request_id, by)


async def drop(tx: Transaction, subject: tuple[str, str]) -> None:
    """Nothing waits for the subject any more."""
    await tx.execute(_DROP, *subject)
