-- kind: expand
CREATE TABLE connectors.sources (
    tenant_id text NOT NULL,
    name text NOT NULL,
    corpus_id text NOT NULL,
    connector text NOT NULL,
    options jsonb NOT NULL,
    prefix text NOT NULL,                    -- begins the id of each document
    readers text NOT NULL CHECK (readers IN ('tenant', 'owner')),
    every_s integer NOT NULL CHECK (every_s >= 0), -- 0: on command only
    allow_empty boolean NOT NULL,            -- whether a listing without a file deletes all
    is_leaving boolean NOT NULL DEFAULT false, -- it is being removed: no sync begins or goes on
    created_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz,                      -- of the next sync, null for on command only
    job_id text,                             -- the latest sync
    started_at timestamptz,
    finished_at timestamptz,
    outcome text CHECK (outcome IN ('succeeded', 'failed')), -- of the latest sync that ended
    reason text,                             -- why it failed
    listed integer NOT NULL DEFAULT 0,       -- what the latest sync has seen and removed so far
    removed integer NOT NULL DEFAULT 0,
    counts jsonb,                            -- of the latest sync that succeeded
    failures text[] NOT NULL DEFAULT '{}',   -- what became of no document in it, a line each, the first ones
    PRIMARY KEY (tenant_id, name),
    UNIQUE (name)
);

-- The documents of a source. What has no version is read again by the next sync.
CREATE TABLE connectors.items (
    tenant_id text NOT NULL,
    source text NOT NULL,
    document_id text NOT NULL,
    key text NOT NULL,
    version text,
    is_document boolean NOT NULL,            -- false for a file that nobody parses
    job_id text,                             -- the sync that saw it change, and how
    change text CHECK (change IN ('new', 'changed', 'unchanged', 'skipped', 'failed')),
    reason text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, source, document_id),
    FOREIGN KEY (tenant_id, source) REFERENCES connectors.sources (tenant_id, name) ON DELETE CASCADE
);
CREATE INDEX items_by_sync ON connectors.items (tenant_id, source, job_id);

ALTER TABLE connectors.sources ENABLE ROW LEVEL SECURITY;
ALTER TABLE connectors.sources FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON connectors.sources FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
ALTER TABLE connectors.items ENABLE ROW LEVEL SECURITY;
ALTER TABLE connectors.items FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON connectors.items FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());

-- FORCE binds the owner too, and the function below runs as the owner without a tenant.
CREATE POLICY all_sources ON connectors.sources FOR SELECT TO ragwork_owner USING (true);

-- For the schedule, which visits the tenants that have something due, and for operators, who name a source without its
-- tenant. It gives names alone.
CREATE FUNCTION connectors.all_sources() RETURNS TABLE (tenant_id text, name text, is_due boolean, has_failed boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT s.tenant_id, s.name, coalesce(s.due_at <= now(), false) AND NOT s.is_leaving,
            coalesce(s.outcome = 'failed', false)
        FROM connectors.sources s ORDER BY s.tenant_id, s.name
    $$;
REVOKE ALL ON FUNCTION connectors.all_sources() FROM PUBLIC;
GRANT USAGE ON SCHEMA connectors TO ragwork_app;
GRANT EXECUTE ON FUNCTION connectors.all_sources() TO ragwork_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON connectors.sources, connectors.items TO ragwork_app;
