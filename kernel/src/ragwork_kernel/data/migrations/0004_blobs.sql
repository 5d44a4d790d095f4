-- kind: expand
CREATE TABLE ragwork.blobs (
    tenant_id text NOT NULL,
    key text NOT NULL,
    data bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, key)
);
-- Uploads are mostly compressed or short-lived: don't spend CPU on compressing them again.
ALTER TABLE ragwork.blobs ALTER COLUMN data SET STORAGE EXTERNAL;
ALTER TABLE ragwork.blobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE ragwork.blobs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ragwork.blobs FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON ragwork.blobs TO ragwork_app;
