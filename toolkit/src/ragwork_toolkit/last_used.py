"""When tokens were last used: noted in memory by the request, which never waits for it, and written by a ticker.

Users: apikeys, scim.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping

from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction


class LastUsed:
    """The uses of one process since the last ``write``; one entry a token, however often it was used.

    ``touch(tx, seconds_ago)`` writes by id how many seconds ago each of a tenant's tokens was used.
    """

    def __init__(
        self, services: Services, touch: Callable[[Transaction, Mapping[str, float]], Awaitable[None]]
    ) -> None:
        self._services = services
        self._touch = touch
        self._used: defaultdict[str, dict[str, float]] = defaultdict(dict)

    def note(self, tenant_id: str, token_id: str) -> None:
        """The token was used now."""
        self._used[tenant_id][token_id] = self._services.clock.monotonic()

    async def write(self) -> None:
        """Write what was noted, one ``touch`` a tenant.

        Raises what the first failure raises; what is unwritten then is kept for the next time, and its tenant has
        its turn after the others.
        """
        for tenant_id in list(self._used):
            used = self._used.pop(tenant_id)
            try:
                async with self._services.db.tenant(tenant_id) as tx:
                    now = self._services.clock.monotonic()
                    await self._touch(tx, {token_id: now - at for token_id, at in used.items()})
            except BaseException:
                self._used[tenant_id] = used | self._used.pop(tenant_id, {})
                raise
