"""Sources whose latest sync failed, for ``ragwork doctor``."""

from collections.abc import Sequence
from typing import Final

from ragwork_hooks.operations import Advice
from ragwork_hooks.services import Services

from ragwork_connectors.source_store import all_sources

#: Sources that are told one by one.
_MAX_TOLD: Final = 20


async def source_advice(services: Services) -> Sequence[Advice]:
    """A line for each source, of any tenant, that is not in step."""
    failed = [source for source in await all_sources(services) if source.has_failed]
    told = [
        Advice(
            where=f"source {source.name!r} of tenant {source.tenant_id!r}",
            message="its latest sync failed, and its corpus is not in step",
            fix=f"see why with `ragwork sources list`, then `ragwork sources sync {source.name}`",
        )
        for source in failed[:_MAX_TOLD]
    ]
    if len(failed) > _MAX_TOLD:
        more = f"the latest sync failed of {len(failed) - _MAX_TOLD} more"
        told.append(Advice(where="sources", message=more, fix="see `ragwork sources list`"))
    return told
