"""The life of keys as a capability: what a tenant's own admin may do, within a cap and never beyond themself."""

from collections.abc import Sequence
from datetime import timedelta

from ragwork_hooks.audit import AuditDetails, AuditLog
from ragwork_hooks.auth import ApiKey, Directory, Principal, Role, User, may_make_credential
from ragwork_hooks.errors import Problem
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.audit_records import success_of
from ragwork_toolkit.rows import from_object

from ragwork_apikeys import events
from ragwork_apikeys.store import KeyChange, KeyStore, KeyView
from ragwork_apikeys.tokens import KEY


class SelfServiceKeys:
    """Implements ``ragwork_hooks.auth.ApiKeys``. ``max_active`` bounds a tenant's usable keys."""

    def __init__(self, store: KeyStore, directory: Directory, log: AuditLog | None, max_active: int) -> None:
        self._store = store
        self._directory = directory
        self._log = log
        self._max_active = max_active

    async def create(
        self, tx: Transaction, by: Principal, *, name: str | None, role: Role, expires_in_days: int | None
    ) -> tuple[ApiKey, str]:
        ends_by = may_make_credential(by, role=role)
        await self.check_room(tx)
        # The key is its maker's: who is demoted or disabled later takes the key along.
        user = await self._directory.ensure_user(tx, by.user_id, by.role, by=by.user_id)
        if role > user.role:
            raise Problem("AUTH_FORBIDDEN", f"a key can't be {role.label} when its user is {user.role.label}")
        minted = await self._store.create(
            tx,
            user_id=user.id,
            name=name,
            role=role,
            platform=False,
            lifetime=None if expires_in_days is None else timedelta(days=expires_in_days),
            ends_by=ends_by,
        )
        await self._record(tx, by, events.CREATED, events.made(minted.id, user.id, role, name))
        return api_key(await self._store.locked(tx, minted.id), user), minted.token

    async def list(self, tx: Transaction) -> Sequence[ApiKey]:
        views = await self._store.all(tx)
        users = await self._directory.users(tx, {view.user_id for view in views})
        return [api_key(view, users.get(view.user_id)) for view in views]

    async def revoke(self, tx: Transaction, by: Principal, key_id: str) -> tuple[ApiKey, bool]:
        before = await self._store.locked(tx, key_id)
        view = await self._store.change(tx, key_id, KeyChange(revoke=True))
        if before.revoked_at is None:
            await self._record(tx, by, events.REVOKED, events.of(key_id))
        user = await self._directory.user(tx, view.user_id)
        return api_key(view, user), before.revoked_at is None

    async def check_room(self, tx: Transaction, added: int = 0) -> None:
        """Take the tenant's turn to add a usable key, or to have ``added`` one in this transaction.

        Raises ``Problem`` 409 ``KEY_LIMIT_REACHED``.
        """
        usable = await self._store.count_usable(tx) - added
        if usable >= self._max_active:
            raise Problem(
                "KEY_LIMIT_REACHED",
                f"the tenant has {usable} active keys, {self._max_active} are allowed: revoke one first",
                details={"active": usable, "limit": self._max_active},
            )

    async def _record(self, tx: Transaction, by: Principal, event: str, note: AuditDetails) -> None:
        if self._log is not None:
            await self._log.append(tx, success_of(by, event, note))


def api_key(view: KeyView, user: User | None) -> ApiKey:
    """The key as other plugins see it; it is active only when its user is."""
    active = view.usable and user is not None and user.active
    return from_object(ApiKey, view, prefix=KEY.shown(view.id), active=active, expired=view.is_expired)
