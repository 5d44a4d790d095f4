"""Erasing documents with every copy: rows, grants, chunks, sources, and what was attached to them."""

from collections.abc import Sequence

from ragwork_hooks.retrieval import Index
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction

from ragwork_documents.ingestion.file_text import text_key


class DocumentErasure:
    """Works inside the caller's transaction."""

    def __init__(self, services: Services, index: Index) -> None:
        self._services = services
        self._index = index

    async def erase(self, tx: Transaction, document_ids: Sequence[str]) -> None:
        """Documents whose rows are locked. The right to erase them is the caller's to judge."""
        documents = await tx.fetch(
            """SELECT d.id, d.blob_key FROM documents.documents d
            WHERE d.tenant_id = ragwork.tenant() AND d.id IN (SELECT f.id FROM documents.family($1) f)
            ORDER BY d.id FOR UPDATE""",
            list(document_ids),
        )
        ids = [row["id"] for row in documents]
        await tx.execute(
            "DELETE FROM documents.documents WHERE tenant_id = ragwork.tenant() AND id = ANY($1::text[])",
            ids,
        )
        await self._index.delete(tx, ids)
        for row in documents:
            await self.forget_source(tx, row["blob_key"])

    async def forget_source(self, tx: Transaction, blob_key: str) -> None:
        """Delete a source, and the text that a parser found in it."""
        await self._services.blob.delete(tx, blob_key)
        await self._services.blob.delete(tx, text_key(blob_key))
