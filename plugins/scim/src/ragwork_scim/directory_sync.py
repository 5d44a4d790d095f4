"""What provisioning means for rights: the directory follows SCIM's groups, in the same transaction.

The role of a user that SCIM manages is always the highest that an admin has bound to one of their groups,
else reader. It is computed anew whenever memberships or bindings change, so nothing outlives its group. Under dual
control the directory lets a rise wait.
"""

from collections.abc import Collection
from typing import Final

from ragwork_hooks.audit import AuditDetails, AuditLog
from ragwork_hooks.auth import Directory, Principal, Role
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.audit_records import success_of

from ragwork_scim.groups import memberships

DEFAULT_ROLE: Final = Role.READER
_GROUP: Final = "scim_group"


class DirectorySync:
    """Writes SCIM's outcome into the directory."""

    def __init__(self, directory: Directory, log: AuditLog | None) -> None:
        self._directory = directory
        self._log = log

    async def create(self, tx: Transaction, by: Principal, user_id: str, active: bool) -> None:
        """A new directory user of the default role."""
        await self._directory.ensure_user(tx, user_id, DEFAULT_ROLE, by=by.user_id)
        if not active:
            await self._directory.set_active(tx, user_id, False, by=by.user_id)

    async def set_active(self, tx: Transaction, by: Principal, user_id: str, *, was: bool, now: bool) -> None:
        """Let in or shut out. Saying ``active`` again does not undo what an admin has done since."""
        if not now or not was:
            await self._directory.set_active(tx, user_id, now, by=by.user_id)

    async def may_bind(self, tx: Transaction, by: Principal, group_id: str, role: Role) -> bool:
        """Whether the group may give ``role`` now; else ``by`` is one of the two admins who want it."""
        return await self._directory.agreed(tx, (_GROUP, group_id), role, "", by=by.user_id)

    async def moved(
        self, tx: Transaction, by: Principal, group_id: str, joined: Collection[str], left: Collection[str]
    ) -> None:
        """Carry memberships over, then roles."""
        affected = sorted({*joined, *left})
        if not affected:
            return
        await memberships.touch_users(tx, affected)
        users = await self._directory.users(tx, affected)
        # In one order everywhere, so that no two transactions wait for each other.
        for user_id in affected:
            before = users[user_id].groups
            after = before | {group_id} if user_id in joined else before - {group_id}
            await self._directory.set_groups(tx, user_id, after)
        await self.recompute(tx, by, affected)

    async def recompute(self, tx: Transaction, by: Principal, user_ids: Collection[str]) -> None:
        """Give each user the role that follows from their groups."""
        granted = await memberships.granted(tx, user_ids)
        users = await self._directory.users(tx, user_ids)
        for user_id in sorted(user_ids):
            old, role = users[user_id].role, granted.get(user_id, DEFAULT_ROLE)
            # Under dual control a higher role may be waiting that the groups don't give any more.
            if old == role and not self._directory.dual_control:
                continue
            now = (await self._directory.set_role(tx, user_id, role, by=by.user_id)).role
            if old != role:
                await self._record(tx, by, user_id, old, role, waits=now != role)

    async def end(self, tx: Transaction, by: Principal, user_id: str, in_groups: Collection[str]) -> None:
        """Shut out for good somebody whose user is deleted: nothing is left to come back to."""
        await self._directory.set_active(tx, user_id, False, by=by.user_id)
        user = await self._directory.set_role(tx, user_id, DEFAULT_ROLE, by=by.user_id)
        await self._directory.set_groups(tx, user_id, user.groups - set(in_groups))

    async def _record(
        self, tx: Transaction, by: Principal, user_id: str, old: Role, new: Role, *, waits: bool
    ) -> None:
        if self._log is None:
            return
        changed = {"from": old.label, "to": new.label, "because": "scim.groups"}
        details = AuditDetails(resource_type="user", resource_id=user_id, metadata=changed)
        event = success_of(by, "identity.role.requested" if waits else "identity.role.changed", details)
        await self._log.append(tx, event)

    async def name_group(self, tx: Transaction, group_id: str, name: str) -> None:
        """Create or rename the directory's group."""
        await self._directory.ensure_group(tx, group_id, name)
