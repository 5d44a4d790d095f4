"""Documents whose terms an older analyser made are read anew, while questions go on."""

import asyncio
from typing import Final

from ragwork_hooks.auth import Directory
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.tenants import visit
from ragwork_toolkit.text.analysers import VERSION, analyser_of
from ragwork_toolkit.text.languages import detect

from ragwork_pgvector.index import LOCK
from ragwork_pgvector.terms import Postings

_BATCH: Final = 100
_OUTDATED: Final = (
    "SELECT document_id FROM pgvector.documents WHERE tenant_id = ragwork.tenant() AND analysis < $1 LIMIT $2"
)
_CHUNKS: Final = """
SELECT d.generation, d.corpus_id, c.ordinal, c.text
FROM pgvector.documents d LEFT JOIN pgvector.chunks c USING (tenant_id, generation)
WHERE d.document_id = $1 AND d.analysis < $2 ORDER BY c.ordinal
"""
_FORGET: Final = "DELETE FROM pgvector.postings WHERE generation = $1"
#: Parameters: generation, corpus, language, analyser, version, and the postings' three columns.
_WRITE: Final = """
WITH counted AS MATERIALIZED (
    SELECT * FROM unnest($6::integer[], $7::text[], $8::integer[]) AS p (ordinal, term, frequency)
),
lengths AS MATERIALIZED (
    SELECT ordinal, sum(frequency)::integer AS length FROM counted GROUP BY ordinal
),
new_postings AS (
    INSERT INTO pgvector.postings (tenant_id, term, generation, ordinal, length, frequency)
    SELECT ragwork.tenant(), pgvector.term($2, c.term), $1, c.ordinal, l.length, c.frequency
    FROM counted c JOIN lengths l USING (ordinal)
)
UPDATE pgvector.documents SET language = $3, analyser = $4, analysis = $5,
    terms = coalesce((SELECT sum(length) FROM lengths), 0)
WHERE generation = $1
"""


class Reanalysis:
    """Reads what is outdated, tenant after tenant; each document in a transaction of its own."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self) -> int:
        """The number of documents that were read anew. May be ended at any time, and go on later."""
        tenants = await self._services.use(Directory).tenants()
        return (await visit(tenants, self._tenant)).complete()

    async def _tenant(self, tenant_id: str) -> int:
        done = 0
        while True:
            async with self._services.db.tenant(tenant_id, "read") as tx:
                outdated = [row["document_id"] for row in await tx.fetch(_OUTDATED, VERSION, _BATCH)]
            if not outdated:
                return done
            for document_id in outdated:
                async with self._services.db.tenant(tenant_id) as tx:
                    await self._document(tx, document_id)
            done += len(outdated)

    async def _document(self, tx: Transaction, document_id: str) -> None:
        await tx.execute(LOCK, [document_id])
        rows = await tx.fetch(_CHUNKS, document_id, VERSION)
        if not rows:
            return
        texts = [(row["ordinal"], row["text"]) for row in rows if row["ordinal"] is not None]
        language, postings = await asyncio.to_thread(_analysed, texts)
        generation, analyser = rows[0]["generation"], analyser_of(language)
        await tx.execute(_FORGET, generation)
        await tx.execute(
            _WRITE,
            generation,
            rows[0]["corpus_id"],
            language,
            analyser,
            VERSION,
            postings.ordinals,
            postings.terms,
            postings.frequencies,
        )


def _analysed(texts: list[tuple[int, str]]) -> tuple[str, Postings]:
    language = detect("\n".join(text for _, text in texts))
    return language, Postings.of(texts, analyser_of(language))
