"""What use leaves behind: last-used times, a record of the first use in an hour, and the end of streams whose key
expires meanwhile.

All are kept in memory by the request and worked off by tickers, so that a request never waits for
them and never fails through them.
"""

from typing import Final

from ragwork_hooks.audit import AuditEvent, AuditLog
from ragwork_hooks.services import Services
from ragwork_toolkit.bearer_tokens.expiry import ExpiredStreams
from ragwork_toolkit.last_used import LastUsed

from ragwork_apikeys import events
from ragwork_apikeys.key_check import CachedKey
from ragwork_apikeys.store import KeyStore

_HOUR_S: Final = 3600.0


class KeyUsage:
    """Notes of one process; one entry a key, however often it was used."""

    def __init__(self, services: Services, store: KeyStore, log: AuditLog | None) -> None:
        self._services = services
        self._store = store
        self._log = log
        self._recorded: dict[str, float] = {}
        self._first: dict[str, CachedKey] = {}
        self.last_used = LastUsed(services, store.touch)
        self.expired_streams = ExpiredStreams(services, store.lookup)

    def note(self, key: CachedKey) -> None:
        """``key`` was used now."""
        self.last_used.note(key.tenant_id, key.id)
        self.expired_streams.note(key)
        now = self._services.clock.monotonic()
        if self._log is not None and now - self._recorded.get(key.id, -_HOUR_S) >= _HOUR_S:
            self._recorded[key.id], self._first[key.id] = now, key

    async def record(self) -> None:
        """Record the first use in an hour of each key; the database says whether another process has done so."""
        if self._log is None:
            return
        hour_ago = self._services.clock.monotonic() - _HOUR_S
        self._recorded = {key_id: at for key_id, at in self._recorded.items() if at > hour_ago}
        while self._first:
            key = next(iter(self._first.values()))
            async with self._services.db.tenant(key.tenant_id) as tx:
                if await self._store.first_in_an_hour(tx, key.id):
                    await self._log.append(tx, _success(key))
            del self._first[key.id]


def _success(key: CachedKey) -> AuditEvent:
    return AuditEvent(
        type=events.SUCCESS,
        outcome="success",
        actor_type="api_key",
        actor_id=key.id,
        actor_role=key.role.label,
        resource_type="api_key",
        resource_id=key.id,
        metadata={"user_id": key.user_id},
    )
