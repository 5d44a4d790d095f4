"""Documents as ``ragwork_hooks.governance.DataStore``: listed, counted, exported, erased and expired."""

from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import Everything, ReadScope
from ragwork_hooks.governance import DataColumn, SortOrder, Subject
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Row, Transaction
from ragwork_toolkit.data_table import BATCH, DataTable, TableStore, scope_of
from ragwork_toolkit.scope_sql import Parameters

from ragwork_documents.ingestion.document_service import DocumentService
from ragwork_documents.ingestion.file_text import text_key
from ragwork_documents.permissions import acl

_TABLE: Final = DataTable(
    source="documents.documents d",
    columns=(
        DataColumn(name="id", type="text", about="the document"),
        DataColumn(name="corpus_id", type="text", about="the corpus that it is in", facet=True),
        DataColumn(name="filename", type="text", about="what its file or text is called"),
        DataColumn(name="content_type", type="text", about="its media type", facet=True),
        DataColumn(name="status", type="text", about="how its ingestion stands", facet=True),
        DataColumn(name="owner", type="text", about="the user who created it", facet=True),
        DataColumn(
            name="num_chunks", type="integer", about="pieces in the index, null before", sortable=False
        ),
        DataColumn(name="language", type="text", about="what it is written in, as detected", facet=True),
        DataColumn(name="created_at", type="time", about="when it was accepted first"),
        DataColumn(name="updated_at", type="time", about="when it, or its ingestion, changed"),
    ),
    key=("id",),
    within=acl.scope_condition,
)
# The row as it is but for what only means something inside, and who was granted what.
_WHOLE: Final = """d.id, d.blob_key, d.is_parsed,
    to_jsonb(d) - '{tenant_id,blob_key,fingerprint}'::text[] AS document, (
    SELECT coalesce(jsonb_agg(to_jsonb(g) - '{tenant_id,document_id,reader}'::text[] ORDER BY g.id), '[]')
    FROM documents.grants g WHERE g.tenant_id = d.tenant_id AND g.document_id = d.id) AS grants"""


class DocumentStore(TableStore):
    """Implements ``DataStore``. A document is its owner's."""

    name = "documents"
    about = "Documents with their texts, chunks and grants"
    table = _TABLE
    order = SortOrder(column="created_at", descending=True)

    def __init__(self, services: Services, document_service: DocumentService) -> None:
        self._services = services
        self._document_service = document_service

    async def scope(self, principal: Principal) -> ReadScope:
        """As ``GET /v1/documents``."""
        return await self._services.read_scope(principal, acl.READ)

    async def export(self, tx: Transaction, subject: Subject) -> AsyncIterator[Row]:
        """Each document with its ``grants`` and, while its source is there, its ``text``; a file that is no text has
        its ``content``, too, in Base64, and no ``text`` until it is read.
        """
        async for rows in _TABLE.batches(tx, scope_of(subject, tx, acl.DOCUMENT), _WHOLE):
            for row in rows:
                yield {**row["document"], "grants": row["grants"], **await self._contents(tx, row)}

    async def _contents(self, tx: Transaction, row: Row) -> dict[str, str | None]:
        source = await self._services.blob.get(tx, row["blob_key"])
        if source is None:
            return {"text": None}
        if not row["is_parsed"]:
            return {"text": source.decode()}
        text = await self._services.blob.get(tx, text_key(row["blob_key"]))
        return {"text": None if text is None else text.decode(), "content": b64encode(source).decode()}

    async def erase(self, tx: Transaction, subject: Subject) -> int:
        """Documents that are being ingested, too: a job writes nothing for one that is gone."""
        return await self._erase(tx, scope_of(subject, tx, acl.DOCUMENT), None)

    async def expire(self, tx: Transaction, older_than: timedelta) -> int:
        return await self._erase(tx, Everything(), older_than)

    async def _erase(self, tx: Transaction, scope: ReadScope, older_than: timedelta | None) -> int:
        p = Parameters()
        where = _TABLE.where(scope, p)
        if older_than is not None:
            where += f" AND d.created_at < now() - {p.bind(older_than, 'interval')}"
        rows = await tx.fetch(
            f"""SELECT d.id FROM documents.documents d WHERE {where}
            ORDER BY d.id LIMIT {BATCH} FOR UPDATE OF d""",  # noqa: S608  # placeholders only
            *p.values,
        )
        if rows:
            await self._document_service.erase(tx, [row["id"] for row in rows])
        return len(rows)
