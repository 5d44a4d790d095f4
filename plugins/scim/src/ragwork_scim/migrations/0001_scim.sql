-- kind: expand
GRANT USAGE ON SCHEMA scim TO ragwork_app;

CREATE TABLE scim.tokens (
    tenant_id text NOT NULL,
    id text NOT NULL CHECK (id ~ '^[0-9A-Za-z]{16}$'),
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    successor text,
    PRIMARY KEY (tenant_id, id),
    -- Ids are made by the server at random, so one space for all tenants tells nobody anything.
    UNIQUE (id)
);

-- A user that SCIM manages. Its id is also the id of the directory's user. `doc` is the resource without
-- id, meta and groups; `folded` the same with every text that ignores case in the form it is compared in.
CREATE TABLE scim.users (
    tenant_id text NOT NULL,
    id text NOT NULL,
    user_key text NOT NULL CHECK (user_key <> ''),
    external_id text,
    active boolean NOT NULL,
    doc jsonb NOT NULL,
    folded jsonb NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    modified_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, user_key)
);
CREATE UNIQUE INDEX users_external ON scim.users (tenant_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX users_in_order ON scim.users (tenant_id, created_at, id);

-- Its id is also the id of the directory's group. Only an admin sets `role_binding`.
CREATE TABLE scim.groups (
    tenant_id text NOT NULL,
    id text NOT NULL,
    display_name text NOT NULL CHECK (display_name <> '' AND char_length(display_name) <= 256),
    display_key text NOT NULL,
    external_id text,
    role_binding text CHECK (role_binding IN ('reader', 'editor', 'admin')),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    modified_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX groups_in_order ON scim.groups (tenant_id, created_at, id);
CREATE INDEX groups_by_name ON scim.groups (tenant_id, display_key);
CREATE INDEX groups_by_external ON scim.groups (tenant_id, external_id);

CREATE TABLE scim.members (
    tenant_id text NOT NULL,
    group_id text NOT NULL,
    user_id text NOT NULL,
    PRIMARY KEY (tenant_id, group_id, user_id),
    FOREIGN KEY (tenant_id, group_id) REFERENCES scim.groups (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, user_id) REFERENCES scim.users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX members_by_user ON scim.members (tenant_id, user_id);

ALTER TABLE scim.tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE scim.tokens FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON scim.tokens FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
-- FORCE binds the owner too, and the look-up below runs as the owner before any tenant is known.
CREATE POLICY lookup ON scim.tokens FOR SELECT TO ragwork_owner USING (true);

ALTER TABLE scim.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE scim.users FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON scim.users FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());

ALTER TABLE scim.groups ENABLE ROW LEVEL SECURITY;
ALTER TABLE scim.groups FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON scim.groups FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());

ALTER TABLE scim.members ENABLE ROW LEVEL SECURITY;
ALTER TABLE scim.members FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON scim.members FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());

GRANT SELECT, INSERT, UPDATE, DELETE ON scim.tokens, scim.users, scim.groups, scim.members TO ragwork_app;

-- The one look-up without a tenant: token id to token. It gives the digest, never anything that opens a door.
CREATE FUNCTION scim.find_token(wanted text)
    RETURNS TABLE (
        tenant_id text, id text, digest bytea, expires_at timestamptz, revoked_at timestamptz,
        read_at timestamptz
    )
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT t.tenant_id, t.id, t.digest, t.expires_at, t.revoked_at, clock_timestamp()
          FROM scim.tokens t
         WHERE t.id = wanted
    $$;
REVOKE ALL ON FUNCTION scim.find_token(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION scim.find_token(text) TO ragwork_app;
