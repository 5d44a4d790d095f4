-- kind: expand
-- Documents with the same readers share an access list, so that a query asks once for each list what its caller may read,
-- not once for each document. Triggers derive the lists from pgvector.readers, so a server of the release before
-- keeps them, too.

CREATE TABLE pgvector.access_lists (
    tenant_id   text NOT NULL,
    reader      text NOT NULL,
    access_list uuid NOT NULL,
    expires_at  timestamptz,
    PRIMARY KEY (tenant_id, reader, access_list)
);
CREATE INDEX access_lists_by_list ON pgvector.access_lists (tenant_id, access_list);

-- What a query's cost is planned with, and how frequent words are; both of the last refresh, by access list.
CREATE TABLE pgvector.corpus_statistics (
    tenant_id   text NOT NULL,
    corpus_id   text NOT NULL,
    access_list uuid NOT NULL,
    embedder    text NOT NULL,
    dimension   integer NOT NULL,
    analyser    text NOT NULL,
    documents   bigint NOT NULL,
    chunks      bigint NOT NULL,
    terms       bigint NOT NULL,
    generation  bigint NOT NULL,    -- the newest that was counted
    counted_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, corpus_id, access_list, embedder, dimension, analyser)
);
CREATE TABLE pgvector.term_statistics (
    tenant_id   text NOT NULL,
    corpus_id   text NOT NULL,
    term        bigint NOT NULL,
    access_list uuid NOT NULL,
    analyser    text NOT NULL,
    chunks      bigint NOT NULL,
    PRIMARY KEY (tenant_id, term, access_list, analyser)
);
CREATE INDEX term_statistics_corpus ON pgvector.term_statistics (tenant_id, corpus_id);

DO $$
DECLARE
    target text;
BEGIN
    FOREACH target IN ARRAY ARRAY['access_lists', 'corpus_statistics', 'term_statistics'] LOOP
        EXECUTE format('ALTER TABLE pgvector.%I ENABLE ROW LEVEL SECURITY', target);
        EXECUTE format('ALTER TABLE pgvector.%I FORCE ROW LEVEL SECURITY', target);
        EXECUTE format(
            'CREATE POLICY tenant ON pgvector.%I USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant())',
            target);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON pgvector.%I TO ragwork_app', target);
    END LOOP;
END $$;

-- The list of those readers, each with its expiry or null: the same for the same readers, 128 bits of SHA-256.
CREATE FUNCTION pgvector.access_list(readers jsonb) RETURNS uuid
LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN left(encode(sha256(convert_to(readers::text, 'UTF8')), 'hex'), 32)::uuid;

-- Of a document that nobody may read: no row of access_lists has it.
ALTER TABLE pgvector.documents ADD COLUMN access_list uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';

CREATE INDEX documents_access_list ON pgvector.documents (tenant_id, access_list, corpus_id);

ALTER TABLE pgvector.documents NO FORCE ROW LEVEL SECURITY;
ALTER TABLE pgvector.readers NO FORCE ROW LEVEL SECURITY;
ALTER TABLE pgvector.access_lists NO FORCE ROW LEVEL SECURITY;
UPDATE pgvector.documents d SET access_list = r.access_list FROM (
    SELECT tenant_id, document_id, pgvector.access_list(jsonb_object_agg(reader, extract(epoch FROM expires_at))) AS access_list
    FROM pgvector.readers GROUP BY tenant_id, document_id
) AS r WHERE d.tenant_id = r.tenant_id AND d.document_id = r.document_id;
INSERT INTO pgvector.access_lists (tenant_id, reader, access_list, expires_at)
SELECT DISTINCT tenant_id, r.reader, d.access_list, r.expires_at
FROM pgvector.readers r JOIN pgvector.documents d USING (tenant_id, document_id);
ALTER TABLE pgvector.documents FORCE ROW LEVEL SECURITY;
ALTER TABLE pgvector.readers FORCE ROW LEVEL SECURITY;
ALTER TABLE pgvector.access_lists FORCE ROW LEVEL SECURITY;

CREATE FUNCTION pgvector.keep_access_lists() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM changed) THEN
        RETURN NULL;
    END IF;
    -- Lists that nobody uses are removed under the same lock, taken alone.
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('pgvector access lists ' || ragwork.tenant(), 0));
    WITH lists AS MATERIALIZED (
        SELECT c.document_id, coalesce(
            pgvector.access_list(jsonb_object_agg(r.reader, extract(epoch FROM r.expires_at)) FILTER (WHERE r.reader IS NOT NULL)),
            '00000000-0000-0000-0000-000000000000') AS access_list
        FROM (SELECT DISTINCT document_id FROM changed) AS c
        LEFT JOIN pgvector.readers r ON r.tenant_id = ragwork.tenant() AND r.document_id = c.document_id
        GROUP BY c.document_id
    ),
    known AS (
        INSERT INTO pgvector.access_lists (tenant_id, reader, access_list, expires_at)
        SELECT DISTINCT ragwork.tenant(), r.reader, l.access_list, r.expires_at
        FROM lists l JOIN pgvector.readers r ON r.tenant_id = ragwork.tenant() AND r.document_id = l.document_id
        ON CONFLICT DO NOTHING
    )
    UPDATE pgvector.documents d SET access_list = l.access_list FROM lists l
    WHERE d.tenant_id = ragwork.tenant() AND d.document_id = l.document_id AND d.access_list <> l.access_list;
    RETURN NULL;
END $$;

CREATE TRIGGER added AFTER INSERT ON pgvector.readers REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION pgvector.keep_access_lists();
CREATE TRIGGER altered AFTER UPDATE ON pgvector.readers REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION pgvector.keep_access_lists();
CREATE TRIGGER removed AFTER DELETE ON pgvector.readers REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION pgvector.keep_access_lists();
-- Readers may be there before their document is.
CREATE TRIGGER indexed AFTER INSERT ON pgvector.documents REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION pgvector.keep_access_lists();
