-- kind: expand
-- One generation is one version of a document with all its chunks. A new version gets a new
-- generation, so old and new rows never meet under one key.

CREATE SEQUENCE pgvector.generations;
GRANT USAGE ON SEQUENCE pgvector.generations TO ragwork_app;

CREATE TABLE pgvector.documents (
    tenant_id   text NOT NULL,
    document_id text NOT NULL,
    generation  bigint NOT NULL,
    corpus_id   text NOT NULL,
    version     integer NOT NULL,
    source      text NOT NULL,
    owner       text NOT NULL,
    embedder    text NOT NULL,
    dimension   integer NOT NULL,   -- 0 when there are no chunks
    chunks      integer NOT NULL,   -- how many
    terms       bigint NOT NULL,    -- sum of the chunks' lengths
    metadata    jsonb NOT NULL,
    labels      jsonb NOT NULL,
    PRIMARY KEY (tenant_id, document_id)
);
CREATE UNIQUE INDEX documents_generation ON pgvector.documents (tenant_id, generation);
CREATE INDEX documents_corpus ON pgvector.documents (tenant_id, corpus_id);

CREATE TABLE pgvector.readers (
    tenant_id   text NOT NULL,
    reader      text NOT NULL,
    document_id text NOT NULL,
    expires_at  timestamptz,
    PRIMARY KEY (tenant_id, reader, document_id)
);
CREATE INDEX readers_document ON pgvector.readers (tenant_id, document_id);

CREATE TABLE pgvector.chunks (
    tenant_id    text NOT NULL,
    generation   bigint NOT NULL,
    ordinal      integer NOT NULL,
    chunk_id     text NOT NULL,
    digest       text NOT NULL,
    start_offset integer NOT NULL,
    end_offset   integer NOT NULL,
    text         text NOT NULL,
    PRIMARY KEY (tenant_id, generation, ordinal)
);

-- The lexical leg. Equality of bigint is leakproof, so row security doesn't keep it out of the index,
-- as it does with @@ on a tsvector. The key's INCLUDE makes the ranking an index-only scan.
CREATE TABLE pgvector.postings (
    tenant_id  text NOT NULL,
    term       bigint NOT NULL,     -- pgvector.term(corpus, stem)
    generation bigint NOT NULL,
    ordinal    integer NOT NULL,
    length     integer NOT NULL,    -- terms in the chunk
    frequency  integer NOT NULL,    -- of the term in the chunk
    PRIMARY KEY (tenant_id, term, generation, ordinal) INCLUDE (length, frequency)
);
CREATE INDEX postings_generation ON pgvector.postings (tenant_id, generation);

CREATE FUNCTION pgvector.term(corpus_id text, stem text) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN hashtextextended(corpus_id || E'\n' || stem, 0);

-- Unit vectors in half precision: half the memory and the scan time, order unchanged in practice.
CREATE TABLE pgvector.vectors (
    tenant_id  text NOT NULL,
    generation bigint NOT NULL,
    ordinal    integer NOT NULL,
    embedding  public.halfvec NOT NULL,
    PRIMARY KEY (tenant_id, generation, ordinal)
);

CREATE TABLE pgvector.vectors_256 (LIKE pgvector.vectors INCLUDING INDEXES);
CREATE TABLE pgvector.vectors_384 (LIKE pgvector.vectors INCLUDING INDEXES);
CREATE TABLE pgvector.vectors_768 (LIKE pgvector.vectors INCLUDING INDEXES);
CREATE TABLE pgvector.vectors_1024 (LIKE pgvector.vectors INCLUDING INDEXES);
CREATE TABLE pgvector.vectors_1536 (LIKE pgvector.vectors INCLUDING INDEXES);

DO $$
DECLARE
    dimension integer;
    vectors   regclass;
BEGIN
    FOREACH dimension IN ARRAY ARRAY[256, 384, 768, 1024, 1536] LOOP
        vectors := format('pgvector.vectors_%s', dimension)::regclass;
        EXECUTE format('ALTER TABLE %s ALTER embedding TYPE public.halfvec(%s)', vectors, dimension);
        -- Never out of line: an exact scan would pay a look-up for each vector.
        EXECUTE format('ALTER TABLE %s ALTER embedding SET STORAGE PLAIN', vectors);
        EXECUTE format('CREATE INDEX ON %s USING hnsw (embedding public.halfvec_ip_ops)', vectors);
    END LOOP;
END $$;

DO $$
DECLARE
    target regclass;
BEGIN
    FOR target IN SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'pgvector'::regnamespace AND c.relkind = 'r' LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
        EXECUTE format(
            'CREATE POLICY tenant ON %s USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant())',
            target);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO ragwork_app', target);
    END LOOP;
END $$;
