"""What use leaves behind: last-used times, and the end of streams whose key expires meanwhile.

Both are kept in memory by the request and worked off by tickers, so that a request never waits for
them and never fails through them.
"""

from collections import defaultdict

from ragwork_hooks.plugin import Services

from ragwork_apikeys.known import KnownKey
from ragwork_apikeys.store import KeyStore


class Usage:
    """Notes of one process; one entry a key, however often it was used."""

    def __init__(self, services: Services, store: KeyStore) -> None:
        self._services = services
        self._store = store
        self._used: dict[tuple[str, str], float] = {}
        self._ending: dict[str, KnownKey] = {}

    def note(self, key: KnownKey) -> None:
        """``key`` was used now."""
        self._used[key.tenant_id, key.id] = self._services.clock.monotonic()
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

    async def end_expired(self) -> None:
        """Cut the streams of keys that were used here and have expired since."""
        now = self._services.clock.monotonic()
        for noted in [key for key in self._ending.values() if key.expired(key.now(now))]:
            key = await self._store.known(noted.id)
            if key is not None and not key.expired(key.now(now)):
                self._ending[key.id] = key  # its end was moved
                continue
            async with self._services.db.tenant(noted.tenant_id) as tx:
                await self._services.streams.cut(tx, credential_id=noted.id)
            del self._ending[noted.id]
