"""Switches and canaries in Postgres: what was set outlives every process and the loss of shared state."""

from collections.abc import Mapping
from typing import Final

import attrs
from ragwork_hooks.audit import PLATFORM_TENANT
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Cache, Transaction

from ragwork_rollouts.config import RolloutsConfig

#: Upper bound in seconds on the cached controls' age, should an invalidation ever be lost.
CACHE_TTL_S: Final = 15.0
_KEY: Final = "all"

_READ: Final = """
SELECT name, killed, NULL::integer AS percentage FROM rollouts.switches
UNION ALL SELECT name, NULL, percentage FROM rollouts.canaries
"""
# Sorted, so that two patches lock their rows in one order.
_SWITCH: Final = """
INSERT INTO rollouts.switches AS s (name, killed)
SELECT given.name, given.killed FROM unnest($1::text[], $2::boolean[]) AS given (name, killed) ORDER BY 1
ON CONFLICT (name) DO UPDATE SET killed = EXCLUDED.killed WHERE s.killed <> EXCLUDED.killed
RETURNING s.name
"""
#: Sets percentages, sorted for the same reason; gives the names that changed. Parameters: names, percentages.
_CANARY: Final = """
INSERT INTO rollouts.canaries AS c (name, percentage)
SELECT given.name, given.pct FROM unnest($1::text[], $2::integer[]) AS given (name, pct) ORDER BY 1
ON CONFLICT (name) DO UPDATE SET percentage = EXCLUDED.percentage WHERE c.percentage <> EXCLUDED.percentage
RETURNING c.name
"""


@attrs.frozen(kw_only=True)
class RolloutState:
    """Every switch and canary as it holds now: what was set, else the setting."""

    killed: Mapping[str, bool]
    percentages: Mapping[str, int]


class ControlStore:
    """Reads and sets the controls."""

    def __init__(self, services: Services, config: RolloutsConfig) -> None:
        self._services = services
        self._config = config
        self._controls: Cache[RolloutState] = services.caches.cache("rollouts.controls", ttl_s=CACHE_TTL_S)

    async def current(self) -> RolloutState:
        """From a cache that any change reaches within 1 s: no round trip when warm."""

        async def load() -> RolloutState:
            async with self._services.db.tenant(PLATFORM_TENANT, "read") as tx:
                return await self.read(tx)

        return await self._controls.get(_KEY, load)

    async def read(self, tx: Transaction) -> RolloutState:
        """As the transaction sees them. One round trip."""
        rows = await tx.fetch(_READ)
        killed, percentages = dict(self._config.switches), dict(self._config.canaries)
        for row in rows:
            # A newer release may have stored a control that this one does not know.
            if row["name"] in killed:
                killed[row["name"]] = row["killed"]
            elif row["name"] in percentages:
                percentages[row["name"]] = row["percentage"]
        return RolloutState(killed=killed, percentages=percentages)

    async def switch(self, tx: Transaction, changes: Mapping[str, bool]) -> bool:
        """Set kill switches; whether anything changed."""
        return await self._set(tx, _SWITCH, changes)

    async def roll_out(self, tx: Transaction, changes: Mapping[str, int]) -> bool:
        """Set canary percentages; whether anything changed."""
        return await self._set(tx, _CANARY, changes)

    async def _set(self, tx: Transaction, sql: str, changes: Mapping[str, bool | int]) -> bool:
        changed = bool(await tx.fetch(sql, list(changes), list(changes.values())))
        if changed:
            await self._controls.invalidate(tx, _KEY)
        return changed
