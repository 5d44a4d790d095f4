"""The document catalogue that other plugins ask, and the re-check around indexes that may lag."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import ReadScope
from ragwork_hooks.documents import Corpus, Ingestion
from ragwork_hooks.retrieval import Reranking
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Cache, Transaction
from ragwork_toolkit.scope_sql import Parameters

from ragwork_documents.corpora.generation_config import stored_generation
from ragwork_documents.permissions import acl

_CACHE_TTL_S: Final = 60.0
# What changed in the window; a duration is from being accepted to being indexed.
_INGESTION: Final = """WITH recent AS (
        SELECT status, failure_reason, extract(epoch FROM completed_at - queued_at) * 1000 AS ms
        FROM documents.documents WHERE tenant_id = ragwork.tenant() AND updated_at >= $1),
    failed AS (
        SELECT left(failure_reason, 200) AS reason, count(*) AS count FROM recent
        WHERE status = 'failed' AND failure_reason IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5)
    SELECT (SELECT jsonb_object_agg(status, n)
            FROM (SELECT status, count(*) AS n FROM recent GROUP BY 1) AS counted) AS by_status,
        (SELECT jsonb_agg(to_jsonb(failed)) FROM failed) AS failures,
        round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric, 1)::float8 AS p50,
        round(percentile_cont(0.95) WITHIN GROUP (ORDER BY ms)::numeric, 1)::float8 AS p95,
        round(max(ms)::numeric, 1)::float8 AS max
    FROM recent WHERE status = 'succeeded'"""


async def within(tx: Transaction, scope: ReadScope, document_ids: Iterable[str]) -> frozenset[str]:
    """Those of ``document_ids`` that exist within ``scope`` now. One round trip."""
    p = Parameters()
    rows = await tx.fetch(
        f"""SELECT d.id FROM documents.documents d
        WHERE d.tenant_id = ragwork.tenant() AND d.id = ANY({p.bind(sorted(set(document_ids)), "text[]")})
          AND {acl.scope_condition(scope, p)}""",  # noqa: S608  # placeholders only
        *p.values,
    )
    return frozenset(row["id"] for row in rows)


class Catalog:
    """Implements ``ragwork_hooks.documents.DocumentCatalog``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._corpora: Cache[Corpus | None] = services.caches.cache("documents.corpora", ttl_s=_CACHE_TTL_S)

    async def corpus(self, tenant_id: str, corpus_id: str) -> Corpus | None:
        """The corpus or ``None``, from a cache that any change reaches within 1 s."""

        async def load() -> Corpus | None:
            async with self._services.db.tenant(tenant_id, "read") as tx:
                return await load_corpus(tx, corpus_id)

        return await self._corpora.get(_key(tenant_id, corpus_id), load)

    async def forget(self, tx: Transaction, corpus_id: str) -> None:
        """Drop the cached corpus everywhere when ``tx`` commits."""
        await self._corpora.invalidate(tx, _key(tx.tenant_id, corpus_id))

    async def readable(
        self, tx: Transaction, principal: Principal, document_ids: Iterable[str]
    ) -> frozenset[str]:
        """Those of ``document_ids`` that exist and that ``principal`` may read now."""
        return await within(tx, await self._services.read_scope(principal, acl.READ), document_ids)

    async def ingestion(self, tx: Transaction, since: datetime) -> Ingestion:
        """How ingestion of the tenant's documents went since then."""
        row = await tx.fetchrow(_INGESTION, since)
        if row is None:
            return Ingestion(by_status={}, durations_ms={}, failures=())
        durations = {name: row[name] for name in ("p50", "p95", "max") if row[name] is not None}
        failures = [(failure["reason"], failure["count"]) for failure in row["failures"] or ()]
        return Ingestion(by_status=row["by_status"] or {}, durations_ms=durations, failures=failures)


async def load_corpus(tx: Transaction, corpus_id: str) -> Corpus | None:
    """The corpus as the database has it. One round trip."""
    row = await tx.fetchrow(
        """SELECT id, tenant_id, name, retriever, embedder, top_k_default, options, fallback, shadow,
            shadow_options, generation, reranking,
            coalesce((provider_config #>> '{retrieval,min_score}')::float8, 0) AS min_score
        FROM documents.corpora WHERE tenant_id = ragwork.tenant() AND id = $1""",
        corpus_id,
    )
    if row is None:
        return None
    generation = stored_generation(row["generation"])
    reranking = None if row["reranking"] is None else Reranking(**row["reranking"])
    return Corpus(
        **{**row, "fallback": tuple(row["fallback"]), "generation": generation, "reranking": reranking}
    )


def _key(tenant_id: str, corpus_id: str) -> str:
    # Neither id can hold a slash, so no two pairs share a key.
    return f"{tenant_id}/{corpus_id}"
