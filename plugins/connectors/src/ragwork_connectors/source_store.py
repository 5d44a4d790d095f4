"""The sources and their items in the database."""

from collections.abc import Mapping, Sequence
from typing import Final

import attrs
from ragwork_hooks.errors import not_found
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction

SYNC: Final = "connectors.sync"
_ACTIVE: Final = ("queued", "running", "retrying")


@attrs.frozen(kw_only=True)
class SourceName:
    """A source of any tenant."""

    tenant_id: str
    name: str
    is_due: bool
    has_failed: bool


@attrs.frozen(kw_only=True)
class ConfiguredSource:
    """What an operator configured: where the files are, and whose documents they become."""

    name: str
    tenant_id: str
    corpus_id: str
    connector: str
    options: Mapping[str, object]
    prefix: str
    readers: str
    every_s: int
    allow_empty: bool

    @property
    def origin(self) -> str:
        """As documents name it."""
        return f"source:{self.name}"

    @property
    def reading(self) -> Sequence[str]:
        """Who may read new documents beside their owner."""
        return [f"tenant:{self.tenant_id}"] if self.readers == "tenant" else []


_COLUMNS: Final = ", ".join(field.name for field in attrs.fields(ConfiguredSource))


async def all_sources(services: Services) -> Sequence[SourceName]:
    """Of all tenants. One round trip."""
    async with services.db.anonymous() as tx:
        return [SourceName(**row) for row in await tx.fetch("SELECT * FROM connectors.all_sources()")]


async def named(services: Services, name: str) -> SourceName:
    """Raises ``Problem`` 404 for a name that no source has."""
    for source in await all_sources(services):
        if source.name == name:
            return source
    raise not_found("source", name)


async def insert(tx: Transaction, source: ConfiguredSource) -> bool:
    """Whether it is new: names are taken once over all tenants."""
    added = await tx.fetchval(
        f"""INSERT INTO connectors.sources ({_COLUMNS}, due_at)
        SELECT $1, ragwork.tenant(), $2, $3, $4::jsonb, $5, $6, $7, $8, CASE WHEN $7 > 0 THEN now() END
        ON CONFLICT DO NOTHING RETURNING true""",
        source.name,
        source.corpus_id,
        source.connector,
        dict(source.options),
        source.prefix,
        source.readers,
        source.every_s,
        source.allow_empty,
    )
    return bool(added)


async def configured(tx: Transaction, name: str) -> ConfiguredSource | None:
    """The source of the transaction's tenant, ``None`` when it is gone or about to go."""
    row = await tx.fetchrow(
        f"""SELECT {_COLUMNS} FROM connectors.sources
        WHERE tenant_id = ragwork.tenant() AND name = $1 AND NOT is_leaving""",  # noqa: S608  # names of columns
        name,
    )
    return None if row is None else ConfiguredSource(**row)


async def enqueue(
    services: Services, tx: Transaction, name: str, *, full: bool = False
) -> tuple[str, bool] | None:
    """The job of the source's sync, and whether it is new: while one is under way there is no second. ``None`` when
    the source is gone. The source's row is locked.
    """
    row = await tx.fetchrow(
        """SELECT job_id FROM connectors.sources
        WHERE tenant_id = ragwork.tenant() AND name = $1 AND NOT is_leaving FOR UPDATE""",
        name,
    )
    if row is None:
        return None
    if row["job_id"] is not None and await is_active(services, tx, row["job_id"]):
        return row["job_id"], False
    payload = {"source": name, **({"full": "yes"} if full else {})}
    job_id = await services.jobs.enqueue(tx, SYNC, payload)
    await tx.execute(
        """UPDATE connectors.sources
        SET job_id = $2, listed = 0, removed = 0, started_at = NULL, finished_at = NULL,
            due_at = CASE WHEN every_s > 0 THEN now() + make_interval(secs => every_s) END
        WHERE tenant_id = ragwork.tenant() AND name = $1""",
        name,
        job_id,
    )
    return job_id, True


async def enqueue_due(services: Services, tx: Transaction) -> int:
    """Enqueue a sync of each source of the transaction's tenant that is due; how many."""
    rows = await tx.fetch(
        """SELECT name FROM connectors.sources
        WHERE tenant_id = ragwork.tenant() AND due_at <= now() AND NOT is_leaving
        ORDER BY name FOR UPDATE SKIP LOCKED"""
    )
    enqueued = [await enqueue(services, tx, row["name"]) for row in rows]
    return sum(each is not None and each[1] for each in enqueued)


async def is_active(services: Services, tx: Transaction, job_id: str) -> bool:
    """Whether the sync has not ended yet."""
    status = await services.jobs.status(tx, job_id)
    return status is not None and status.state in _ACTIVE
