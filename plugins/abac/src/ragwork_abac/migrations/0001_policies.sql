-- kind: expand
CREATE TABLE abac.policies (
    tenant_id text NOT NULL,
    id text NOT NULL,
    name text NOT NULL,
    version integer NOT NULL DEFAULT 1,
    effect text NOT NULL CHECK (effect IN ('allow', 'deny')),
    resource_type text NOT NULL,
    action text NOT NULL,
    condition jsonb NOT NULL,
    priority integer NOT NULL,
    enabled boolean NOT NULL,
    created_by text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);

ALTER TABLE abac.policies ENABLE ROW LEVEL SECURITY;
ALTER TABLE abac.policies FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON abac.policies FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());

GRANT USAGE ON SCHEMA abac TO ragwork_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON abac.policies TO ragwork_app;
