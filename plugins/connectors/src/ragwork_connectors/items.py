"""What a sync knows of the files of a source, and what it writes down about them."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

import attrs
from ragwork_hooks.storage import Transaction

Change: TypeAlias = Literal["new", "changed", "unchanged", "skipped", "failed"]
CHANGES: Final[tuple[Change, ...]] = ("new", "changed", "unchanged", "skipped", "failed")
_SHOWN: Final = 20


@attrs.frozen(kw_only=True)
class KnownItem:
    """A file of an earlier sync. Without a version it must be read again."""

    document_id: str
    version: str | None
    is_document: bool
    job_id: str | None


@attrs.frozen(kw_only=True)
class SyncedItem:
    """A file of this sync. ``version`` is ``None`` when the next sync has to read it again."""

    document_id: str
    key: str
    version: str | None
    change: Change
    reason: str = ""


async def known(tx: Transaction, source: str, document_ids: Sequence[str]) -> Mapping[str, KnownItem]:
    """By document id. One round trip."""
    rows = await tx.fetch(
        """SELECT document_id, version, is_document, job_id FROM connectors.items
        WHERE tenant_id = ragwork.tenant() AND source = $1 AND document_id = ANY ($2::text[])""",
        source,
        list(document_ids),
    )
    return {row["document_id"]: KnownItem(**row) for row in rows}


async def ids(tx: Transaction, source: str) -> Sequence[str]:
    """The documents of all known files, and of those that failed. One round trip."""
    rows = await tx.fetch(
        "SELECT document_id FROM connectors.items WHERE tenant_id = ragwork.tenant() AND source = $1", source
    )
    return [row["document_id"] for row in rows]


async def adopt(tx: Transaction, source: str, document_ids: Sequence[str]) -> None:
    """Documents that a source of this name made in an earlier life: its first sync reads or removes them."""
    await tx.execute(
        """INSERT INTO connectors.items (tenant_id, source, document_id, key, is_document)
        SELECT ragwork.tenant(), $1, t.id, t.id, true FROM unnest($2::text[]) AS t(id)""",
        source,
        list(document_ids),
    )


async def write(tx: Transaction, source: str, job_id: str, items: Sequence[SyncedItem]) -> None:
    """Put down what became of ``items``. What the same sync saw as new or changed stays that. One round trip."""
    await tx.execute(
        """INSERT INTO connectors.items AS i
            (tenant_id, source, document_id, key, version, is_document, job_id, change, reason)
        SELECT ragwork.tenant(), $1, t.id, t.key, t.version, t.change <> 'skipped', $2, t.change, t.reason
        FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
            AS t(id, key, version, change, reason)
        ON CONFLICT (tenant_id, source, document_id) DO UPDATE SET key = excluded.key,
            version = excluded.version, is_document = excluded.is_document, job_id = excluded.job_id,
            change = CASE WHEN i.job_id = $2 AND i.change IN ('new', 'changed') AND excluded.change = 'unchanged'
                THEN i.change ELSE excluded.change END,
            reason = excluded.reason""",
        source,
        job_id,
        [item.document_id for item in items],
        [item.key for item in items],
        [item.version for item in items],
        [item.change for item in items],
        [item.reason for item in items],
    )


async def remove(tx: Transaction, source: str, document_ids: Sequence[str]) -> None:
    """Forget files that are gone. One round trip."""
    await tx.execute(
        """DELETE FROM connectors.items
        WHERE tenant_id = ragwork.tenant() AND source = $1 AND document_id = ANY ($2::text[])""",
        source,
        list(document_ids),
    )


async def changes(tx: Transaction, source: str, job_id: str) -> Mapping[Change, int]:
    """How many files the sync wrote down, by what became of them. One round trip."""
    rows = await tx.fetch(
        """SELECT change, count(*)::integer AS count FROM connectors.items
        WHERE tenant_id = ragwork.tenant() AND source = $1 AND job_id = $2 GROUP BY change""",
        source,
        job_id,
    )
    return {row["change"]: row["count"] for row in rows}


async def failures(tx: Transaction, source: str, job_id: str) -> Sequence[str]:
    """A line for each of the first files that became no document. One round trip."""
    rows = await tx.fetch(
        f"""SELECT key, change, reason FROM connectors.items
        WHERE tenant_id = ragwork.tenant() AND source = $1 AND job_id = $2 AND change IN ('skipped', 'failed')
        ORDER BY change, key LIMIT {_SHOWN}""",  # noqa: S608  # a constant
        source,
        job_id,
    )
    return [f"{row['change']} {row['key']}: {row['reason']}" for row in rows]
