"""A key as authentication knows it, and the judgement over it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import attrs
from ragwork_hooks.auth import Role, User
from ragwork_hooks.errors import Problem, unauthenticated
from ragwork_hooks.storage import Row
from ragwork_toolkit.bearer_tokens.expiry import ExpiringToken
from ragwork_toolkit.rows import from_row

UNAUTHORIZED: Final = "AUTH_UNAUTHORIZED"
UNKNOWN: Final = "the credential is missing, malformed or unknown"


@attrs.frozen(kw_only=True)
class CachedKey(ExpiringToken):
    """A key's row."""

    user_id: str
    role: Role
    platform: bool
    created_at: datetime
    last_used_at: datetime | None
    disabled_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, row: Row, asked_monotonic: float) -> "CachedKey":
        """From a row of ``apikeys.find`` asked for at ``asked_monotonic`` seconds."""
        return from_row(cls, row, role=Role.parse(row["role"]), read_monotonic=asked_monotonic)

    def unused_since(self) -> datetime:
        """The anchor of inactivity."""
        return self.last_used_at or self.created_at


@attrs.frozen
class KeyValidator:
    """Refuses keys that may not be used, in the contract's order.

    ``inactive_days`` is ``None`` when inactivity is not enforced; ``monotonic`` gives seconds.
    """

    inactive_days: int | None
    monotonic: Callable[[], float]

    def check(self, key: CachedKey, user: User | None) -> User:
        """The key's user. Raises ``Problem`` 401 with the code of the first reason found."""
        if key.revoked_at is not None or key.disabled_at is not None:
            raise unauthenticated(
                "AUTH_REVOKED_KEY", "this API key was revoked or switched off", key.tenant_id
            )
        if user is None or not user.active:
            raise unauthenticated(UNAUTHORIZED, "the user of this API key is not active", key.tenant_id)
        monotonic = self.monotonic()
        if key.expired(monotonic):
            raise unauthenticated("AUTH_EXPIRED_KEY", "this API key has expired", key.tenant_id)
        unused = key.now(monotonic) - key.unused_since()
        if self.inactive_days is not None and unused >= timedelta(days=self.inactive_days):
            raise unauthenticated(
                "AUTH_INACTIVE_KEY",
                f"this API key was not used for {self.inactive_days} days; an admin can reactivate it",
                key.tenant_id,
            )
        return user


def unauthorized(message: str) -> Problem:
    """401 ``AUTH_UNAUTHORIZED`` with its challenge."""
    return unauthenticated(UNAUTHORIZED, message)
