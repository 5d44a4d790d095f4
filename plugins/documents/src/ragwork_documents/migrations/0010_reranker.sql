-- kind: expand
-- How passages are ranked a second time: {"reranker", "top_n", "budget_ms"}; NULL for not at all.
ALTER TABLE documents.corpora ADD COLUMN reranking jsonb;

-- As before, with the chat models and the rerankers that corpora name.
CREATE OR REPLACE FUNCTION documents.bound_providers()
    RETURNS TABLE (kind text, name text, corpora bigint, tenant_id text, corpus_id text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT b.kind, b.name, count(*), (min(ARRAY[c.tenant_id, c.id]))[1], (min(ARRAY[c.tenant_id, c.id]))[2]
        FROM documents.corpora c
        CROSS JOIN LATERAL (
            SELECT 'retrieval' AS kind, c.retriever AS name
            UNION SELECT 'embedding', c.embedder
            UNION SELECT 'retrieval', unnest(c.fallback)
            UNION SELECT 'retrieval', c.shadow WHERE c.shadow IS NOT NULL
            UNION SELECT 'llm', c.generation ->> 'provider' WHERE c.generation ? 'provider'
            UNION SELECT 'llm', jsonb_array_elements_text(c.generation -> 'fallback')
            UNION SELECT 'reranker', c.reranking ->> 'reranker' WHERE c.reranking IS NOT NULL
        ) b
        GROUP BY b.kind, b.name ORDER BY b.kind, b.name
    $$;
