"""The latest syncs as a dependency: what ``doctor``, health and the metric of dependencies say of them."""

import attrs
from ragwork_hooks.errors import Problem
from ragwork_hooks.services import Services

from ragwork_connectors.source_store import all_sources

_SHOWN = 5


@attrs.frozen
class SourceHealth:
    """``check`` is a ``HealthCheck``'s."""

    services: Services

    async def check(self) -> None:
        """Raises ``RuntimeError`` with the sources whose latest sync failed."""
        try:
            if not await self._is_migrated():
                return
            failed = [source.name for source in await all_sources(self.services) if source.has_failed]
        except Problem:  # the database is a dependency of its own
            return
        if failed:
            more = f" and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
            raise RuntimeError(
                f"the latest sync failed of {', '.join(failed[:_SHOWN])}{more}; `ragwork sources list` says why"
            )

    async def _is_migrated(self) -> bool:
        async with self.services.db.anonymous() as tx:
            return bool(await tx.fetchval("SELECT to_regproc('connectors.all_sources') IS NOT NULL"))
