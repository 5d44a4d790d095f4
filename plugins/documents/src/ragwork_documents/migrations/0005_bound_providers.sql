-- kind: expand
-- FORCE binds the owner too, and the function below runs as the owner without a tenant.
CREATE POLICY bound_providers ON documents.corpora FOR SELECT TO ragwork_owner USING (true);

-- For the start of a server, which refuses to serve corpora that are bound to nothing. It gives names of
-- providers, how many corpora have each, and one of them, so that an operator can look.
CREATE FUNCTION documents.bound_providers()
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
        ) b
        GROUP BY b.kind, b.name ORDER BY b.kind, b.name
    $$;
REVOKE ALL ON FUNCTION documents.bound_providers() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION documents.bound_providers() TO ragwork_app;
