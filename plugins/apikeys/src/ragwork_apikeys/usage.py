"""What use leaves behind: last-used times, a record of the first use in an hour, and the end of streams whose key
expires meanwhile.

All are kept in memory by the request and worked off by tickers, so that a request never waits for
them and never fails through them.
"""

from collections import defaultdict
from typing import Final

from ragwork_hooks.audit import AuditEvent, AuditLog
from ragwork_hooks.plugin import Services

from ragwork_apikeys import events
from ragwork_apikeys.known import KnownKey
from ragwork_apikeys.store import KeyStore

_HOUR_S: Final = 3600.0


class Usage:
    """Notes of one process; one entry a key, however often it was used."""

    def __init__(self, services: Services, store: KeyStore, log: AuditLog | None) -> None:
        self._services = services
        self._store = store
        self._log = log
        self._recorded: dict[str, float] = {}
        self._first: dict[str, KnownKey] = {}
        self._used: dict[tuple[str, str], float] = {}
        self._ending: dict[str, KnownKey] = {}

    def note(self, key: KnownKey) -> None:
        """``key`` was used now."""
        now = self._services.clock.monotonic()
        self._used[key.tenant_id, key.id] = now
        if self._log is not None and now - self._recorded.get(key.id, -_HOUR_S) >= _HOUR_S:
            self._recorded[key.id], self._first[key.id] = now, key
        if key.expires_at is not None:
            self._ending[key.id] = key

    async def write(self) -> None:
        """Write the last-used times, one statement a tenant; what fails is kept for the next time."""
        used, self._used = self._used, {}
        now = self._services.clock.monotonic()
        by_tenant: defaultdict[str, dict[str, float]] = defaultdict(dict)
        for (tenant_id, key_id), at in used.items():
            by_tenant[tenant_id][key_id] = now - at
        try:
            while by_tenant:
                tenant_id = next(iter(by_tenant))
                async with self._services.db.tenant(tenant_id) as tx:
                    await self._store.touch(tx, by_tenant[tenant_id])
                del by_tenant[tenant_id]
        finally:
            left = {pair: at for pair, at in used.items() if pair[0] in by_tenant}
            self._used = left | self._used

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

    async def end_expired(self) -> None:
        """Cut the streams of keys that were used here and have expired since."""
        now = self._services.clock.monotonic()
        for noted in [key for key in self._ending.values() if key.expired(key.now(now))]:
            key = await self._store.lookup.find(noted.id)
            if key is not None and not key.expired(key.now(now)):
                self._ending[key.id] = key  # its end was moved
                continue
            async with self._services.db.tenant(noted.tenant_id) as tx:
                await self._services.streams.cut(tx, credential_id=noted.id)
            del self._ending[noted.id]


def _success(key: KnownKey) -> AuditEvent:
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
