"""The end of bearer tokens, by the database's time, and of the streams that were opened with them.

Users: apikeys, scim, sso.
"""

from datetime import datetime, timedelta
from typing import Generic, TypeVar

import attrs
from ragwork_hooks.services import Services

from ragwork_toolkit.bearer_tokens.lookup import TokenLookup


@attrs.frozen(kw_only=True)
class ExpiringToken:
    """A token's row, with the database's time of reading and this process's monotonic second of it."""

    tenant_id: str
    id: str
    digest: bytes = attrs.field(repr=False)
    #: ``None`` where it has no end.
    expires_at: datetime | None
    read_at: datetime
    read_monotonic: float

    def now(self, monotonic: float) -> datetime:
        """Database time at ``monotonic`` seconds; an application's wrong clock changes nothing."""
        return self.read_at + timedelta(seconds=monotonic - self.read_monotonic)

    def expired(self, monotonic: float) -> bool:
        """Whether it has ended at ``monotonic`` seconds, by database time."""
        return self.expires_at is not None and self.expires_at <= self.now(monotonic)


T = TypeVar("T", bound=ExpiringToken)


class ExpiredStreams(Generic[T]):
    """Ends the streams of tokens that were used in this process and have expired since."""

    def __init__(self, services: Services, lookup: TokenLookup[T]) -> None:
        self._services = services
        self._lookup = lookup
        self._used: dict[str, T] = {}

    def note(self, token: T) -> None:
        """``token`` was used."""
        if token.expires_at is not None:
            self._used[token.id] = token

    async def cut(self) -> None:
        """Cut the streams of those whose end has come, unless it was moved."""
        now = self._services.clock.monotonic()
        for noted in [token for token in self._used.values() if token.expired(now)]:
            token = await self._lookup.find(noted.id)
            if token is not None and not token.expired(now):
                self._used[token.id] = token
                continue
            async with self._services.db.tenant(noted.tenant_id) as tx:
                await self._services.streams.cut(tx, credential_id=noted.id)
            self._used.pop(noted.id, None)
