-- kind: expand
-- What files bring with them: equals of a content, files attached to a file, who keeps a file in step, what was left out.

ALTER TABLE documents.documents
    ADD COLUMN is_parsed boolean NOT NULL DEFAULT false, -- the source is a file that a parser reads, no text
    ADD COLUMN content_digest text,                     -- SHA-256 of the source; null for what came before this column
    ADD COLUMN origin text,                             -- the folder or store that it is kept in step with, null for none
    ADD COLUMN parent_id text,                          -- the document that it was attached to
    ADD COLUMN warnings text[] NOT NULL DEFAULT '{}',   -- what its parser left out
    ADD FOREIGN KEY (tenant_id, parent_id) REFERENCES documents.documents (tenant_id, id) ON DELETE CASCADE;
CREATE INDEX documents_by_content ON documents.documents (tenant_id, corpus_id, content_digest, created_at, id);
CREATE INDEX documents_by_parent ON documents.documents (tenant_id, parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX documents_by_origin ON documents.documents (tenant_id, corpus_id, origin, id) WHERE origin IS NOT NULL;

ALTER TABLE documents.documents DROP CONSTRAINT documents_ingest_source_check;
ALTER TABLE documents.documents ADD CONSTRAINT documents_ingest_source_check
    CHECK (ingest_source IN ('upload', 'text', 'attachment'));

-- Documents with everything that was attached to them, at any depth.
CREATE FUNCTION documents.family(ids text[]) RETURNS TABLE (id text)
    LANGUAGE sql STABLE AS $$
    WITH RECURSIVE family AS (
        SELECT d.id FROM documents.documents d WHERE d.tenant_id = ragwork.tenant() AND d.id = ANY (ids)
        UNION
        SELECT d.id FROM family JOIN documents.documents d
            ON d.tenant_id = ragwork.tenant() AND d.parent_id = family.id
    ) SELECT family.id FROM family
$$;
GRANT EXECUTE ON FUNCTION documents.family(text[]) TO ragwork_app;
