"""Waiting for documents: which of them are settled, and how."""

from collections.abc import Sequence

import attrs
from ragwork_hooks.storage import Database


@attrs.frozen(kw_only=True)
class SettledDocument:
    """A document whose ingestion is over. ``failure`` is the reason, ``None`` when it succeeded; ``attached`` are the
    documents that were attached to it.
    """

    document_id: str
    failure: str | None
    is_attached: bool
    attached: Sequence[str]


async def settled(db: Database, tenant_id: str, document_ids: Sequence[str]) -> Sequence[SettledDocument]:
    """Those of ``document_ids`` that are neither queued nor processing; one that is gone has failed. One round
    trip.
    """
    async with db.tenant(tenant_id, "read") as tx:
        rows = await tx.fetch(
            """SELECT t.id, d.status, d.failure_reason, d.parent_id IS NOT NULL AS is_attached, ARRAY(
                SELECT a.id FROM documents.documents a
                WHERE a.tenant_id = ragwork.tenant() AND a.parent_id = t.id ORDER BY a.id
            ) AS attached
            FROM unnest($1::text[]) AS t(id)
            LEFT JOIN documents.documents d ON d.tenant_id = ragwork.tenant() AND d.id = t.id
            WHERE d.id IS NULL OR d.status IN ('succeeded', 'failed')""",
            list(document_ids),
        )
    return [
        SettledDocument(
            document_id=row["id"],
            failure=None
            if row["status"] == "succeeded"
            else row["failure_reason"] or "was deleted meanwhile",
            is_attached=row["is_attached"],
            attached=row["attached"],
        )
        for row in rows
    ]
