"""The latest syncs as a dependency: what ``doctor``, health and the metric of dependencies say of them."""

import attrs
from ragwork_hooks.errors import Problem
from ragwork_hooks.services import Services

from ragwork_connectors.source_store import all_sources

_SHOWN = 5


@attrs.define
class SourceHealth:
    """``check`` is a ``HealthCheck``'s. ``is_migrated`` says that the plugin's tables were seen: `doctor` asks before
    they are made.
    """

    services: Services
    is_migrated: bool = False

    async def check(self) -> None:
        """Raises ``RuntimeError`` with the sources whose latest sync failed."""
        try:
            if not self.is_migrated:
                async with self.services.db.anonymous() as tx:
                    there = await tx.fetchval("SELECT to_regproc('connectors.all_sources') IS NOT NULL")
                self.is_migrated = bool(there)
            if not self.is_migrated:
                return
            failed = [source.name for source in await all_sources(self.services) if source.has_failed]
        except Problem:  # the database is a dependency of its own
            return
        if failed:
            more = f" and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
            raise RuntimeError(
                f"the latest sync failed of {', '.join(failed[:_SHOWN])}{more}; `ragwork sources list` says why"
            )
