-- kind: expand
GRANT USAGE ON SCHEMA apikeys TO ragwork_app;

CREATE TABLE apikeys.keys (
    tenant_id text NOT NULL,
    id text NOT NULL CHECK (id ~ '^[0-9A-Za-z]{16}$'),
    user_id text NOT NULL,
    name text NOT NULL CHECK (name <> '' AND char_length(name) <= 128),
    role text NOT NULL CHECK (role IN ('reader', 'editor', 'admin')),
    platform boolean NOT NULL DEFAULT false,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    expires_at timestamptz,
    disabled_at timestamptz,
    revoked_at timestamptz,
    successor text,
    PRIMARY KEY (tenant_id, id),
    -- Ids are made by the server at random, so one space for all tenants tells nobody anything.
    UNIQUE (id)
);
CREATE INDEX keys_newest ON apikeys.keys (tenant_id, created_at DESC, id);

ALTER TABLE apikeys.keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE apikeys.keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON apikeys.keys FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
-- FORCE binds the owner too, and the look-up below runs as the owner before any tenant is known.
CREATE POLICY lookup ON apikeys.keys FOR SELECT TO ragwork_owner USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON apikeys.keys TO ragwork_app;

-- The one look-up without a tenant: key id to key. It gives the digest, never anything that opens a door.
CREATE FUNCTION apikeys.find(wanted text)
    RETURNS TABLE (
        tenant_id text, id text, user_id text, role text, platform boolean, digest bytea,
        created_at timestamptz, last_used_at timestamptz, expires_at timestamptz,
        disabled_at timestamptz, revoked_at timestamptz, read_at timestamptz
    )
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT k.tenant_id, k.id, k.user_id, k.role, k.platform, k.digest,
               k.created_at, k.last_used_at, k.expires_at, k.disabled_at, k.revoked_at, clock_timestamp()
          FROM apikeys.keys k
         WHERE k.id = wanted
    $$;
REVOKE ALL ON FUNCTION apikeys.find(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION apikeys.find(text) TO ragwork_app;
