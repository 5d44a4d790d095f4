-- kind: expand
-- FORCE binds the owner too, and the function below runs as the owner without a tenant.
CREATE POLICY corpus_languages ON documents.documents FOR SELECT TO ragwork_owner USING (true);

-- For `ragwork doctor`: how many documents of each corpus are written in what. It gives counts, and no document.
CREATE FUNCTION documents.corpus_languages()
    RETURNS TABLE (tenant_id text, corpus_id text, embedder text, language text, documents bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT c.tenant_id, c.id, c.embedder, d.language, count(*)
        FROM documents.corpora c JOIN documents.documents d ON d.tenant_id = c.tenant_id AND d.corpus_id = c.id
        WHERE d.language IS NOT NULL
        GROUP BY c.tenant_id, c.id, c.embedder, d.language ORDER BY c.tenant_id, c.id, count(*) DESC, d.language
    $$;
REVOKE ALL ON FUNCTION documents.corpus_languages() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION documents.corpus_languages() TO ragwork_app;
