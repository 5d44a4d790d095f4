-- kind: expand
GRANT USAGE ON SCHEMA directory TO ragwork_app;

CREATE TABLE directory.tenants (
    tenant_id text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE directory.users (
    tenant_id text NOT NULL REFERENCES directory.tenants (tenant_id),
    id text NOT NULL CHECK (id <> '' AND char_length(id) <= 128),
    email text CHECK (char_length(email) <= 320),
    role text NOT NULL CHECK (role IN ('reader', 'editor', 'admin')),
    active boolean NOT NULL DEFAULT true,
    epoch bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE directory.groups (
    tenant_id text NOT NULL REFERENCES directory.tenants (tenant_id),
    id text NOT NULL CHECK (id <> '' AND char_length(id) <= 128),
    name text NOT NULL CHECK (char_length(name) <= 256),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE directory.memberships (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    group_id text NOT NULL,
    PRIMARY KEY (tenant_id, user_id, group_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES directory.users (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, group_id) REFERENCES directory.groups (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX memberships_by_group ON directory.memberships (tenant_id, group_id);

ALTER TABLE directory.tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE directory.tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON directory.tenants FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());

ALTER TABLE directory.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE directory.users FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON directory.users FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());

ALTER TABLE directory.groups ENABLE ROW LEVEL SECURITY;
ALTER TABLE directory.groups FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON directory.groups FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());

ALTER TABLE directory.memberships ENABLE ROW LEVEL SECURITY;
ALTER TABLE directory.memberships FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON directory.memberships FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());

GRANT SELECT, INSERT, UPDATE, DELETE
    ON directory.tenants, directory.users, directory.groups, directory.memberships TO ragwork_app;
