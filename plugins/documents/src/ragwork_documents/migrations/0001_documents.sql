-- kind: expand
CREATE TABLE documents.corpora (
    tenant_id text NOT NULL,
    id text NOT NULL,
    name text NOT NULL,
    provider_config jsonb NOT NULL,
    -- What provider_config means, so that no query has to interpret JSON.
    retriever text NOT NULL,
    embedder text NOT NULL,
    top_k_default integer NOT NULL,
    options jsonb NOT NULL,
    default_readers text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE documents.documents (
    tenant_id text NOT NULL,
    id text NOT NULL,
    corpus_id text NOT NULL,
    filename text NOT NULL,
    content_type text NOT NULL,
    ingest_source text NOT NULL CHECK (ingest_source IN ('upload', 'text')),
    owner text NOT NULL,
    status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'processing', 'succeeded', 'failed')),
    failure_reason text,
    -- Grows with every accepted change; a job that carries an older one writes nothing.
    generation integer NOT NULL DEFAULT 1,
    indexed_generation integer,
    fingerprint text NOT NULL,
    blob_key text NOT NULL,
    metadata jsonb NOT NULL,
    labels jsonb NOT NULL,
    chunk_size integer NOT NULL,
    chunk_overlap integer NOT NULL,
    phase text NOT NULL DEFAULT 'queued',
    chunks_done integer NOT NULL DEFAULT 0,
    chunks_total integer,
    attempt integer NOT NULL DEFAULT 0,
    num_chunks integer,
    last_job_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    queued_at timestamptz DEFAULT now(),
    processing_started_at timestamptz,
    completed_at timestamptz,
    last_reindexed_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, corpus_id) REFERENCES documents.corpora (tenant_id, id)
);
CREATE INDEX documents_by_corpus ON documents.documents (tenant_id, corpus_id, created_at DESC, id);
CREATE INDEX documents_by_age ON documents.documents (tenant_id, created_at DESC, id);

CREATE TABLE documents.grants (
    tenant_id text NOT NULL,
    id text NOT NULL,
    document_id text NOT NULL,
    principal_type text NOT NULL CHECK (principal_type IN ('user', 'api_key', 'group', 'role', 'tenant')),
    principal_id text NOT NULL,
    reader text NOT NULL GENERATED ALWAYS AS (principal_type || ':' || principal_id) STORED,
    permission text NOT NULL CHECK (permission IN ('read', 'write', 'delete', 'reindex', 'owner')),
    granted_by text,
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, document_id, reader, permission),
    FOREIGN KEY (tenant_id, document_id) REFERENCES documents.documents (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX grants_by_reader ON documents.grants (tenant_id, reader, document_id);

ALTER TABLE documents.corpora ENABLE ROW LEVEL SECURITY;
ALTER TABLE documents.corpora FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON documents.corpora FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
ALTER TABLE documents.documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE documents.documents FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON documents.documents FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
ALTER TABLE documents.grants ENABLE ROW LEVEL SECURITY;
ALTER TABLE documents.grants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON documents.grants FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());

GRANT USAGE ON SCHEMA documents TO ragwork_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON documents.corpora, documents.documents, documents.grants TO ragwork_app;
