-- kind: expand
GRANT USAGE ON SCHEMA sso TO ragwork_app;

CREATE TABLE sso.providers (
    tenant_id text NOT NULL,
    id text NOT NULL CHECK (id ~ '^idp_[0-9A-Za-z]{16}$'),
    name text NOT NULL CHECK (name <> '' AND char_length(name) <= 128),
    issuer text NOT NULL,
    client_id text NOT NULL,
    client_secret_ref text NOT NULL,
    auth_url text NOT NULL,
    token_url text NOT NULL,
    jwks_url text NOT NULL,
    algorithms text[] NOT NULL,
    scopes text[],
    enabled boolean NOT NULL DEFAULT false,
    default_role text NOT NULL CHECK (default_role IN ('reader', 'editor', 'admin')),
    role_mapping jsonb,
    jit_enabled boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    -- Ids are made by the server at random, so one space for all tenants tells nobody anything.
    UNIQUE (id)
);

-- Who at which issuer is which user here. The key is (issuer, subject): an address or a name can change
-- hands, a subject can't.
CREATE TABLE sso.accounts (
    tenant_id text NOT NULL,
    issuer text NOT NULL,
    subject text NOT NULL,
    user_id text NOT NULL,
    email text,
    display_name text,
    last_login_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, issuer, subject)
);
CREATE INDEX accounts_by_user ON sso.accounts (tenant_id, user_id, created_at);

CREATE TABLE sso.sessions (
    tenant_id text NOT NULL,
    id text NOT NULL CHECK (id ~ '^[0-9A-Za-z]{16}$'),
    user_id text NOT NULL,
    provider_id text NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (id)
);
CREATE INDEX sessions_by_provider ON sso.sessions (tenant_id, provider_id, expires_at);

-- A wish for a higher role, until a second admin decides.
CREATE TABLE sso.role_requests (
    tenant_id text NOT NULL,
    id text NOT NULL,
    user_id text NOT NULL,
    role text NOT NULL CHECK (role IN ('reader', 'editor', 'admin')),
    requested_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, user_id)
);

ALTER TABLE sso.providers ENABLE ROW LEVEL SECURITY;
ALTER TABLE sso.providers FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sso.providers FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());

ALTER TABLE sso.accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE sso.accounts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sso.accounts FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());

ALTER TABLE sso.sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE sso.sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sso.sessions FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());

ALTER TABLE sso.role_requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE sso.role_requests FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sso.role_requests FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());

-- FORCE binds the owner too, and the look-up below runs as the owner before any tenant is known.
CREATE POLICY lookup ON sso.providers FOR SELECT TO ragwork_owner USING (true);
CREATE POLICY lookup ON sso.sessions FOR SELECT TO ragwork_owner USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE
    ON sso.providers, sso.accounts, sso.sessions, sso.role_requests TO ragwork_app;

-- The one look-up without a tenant: whose provider or session an id is. It gives nothing else.
CREATE FUNCTION sso.tenant_of(wanted text) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT p.tenant_id FROM sso.providers p WHERE p.id = wanted
        UNION ALL
        SELECT s.tenant_id FROM sso.sessions s WHERE s.id = wanted
    $$;
REVOKE ALL ON FUNCTION sso.tenant_of(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sso.tenant_of(text) TO ragwork_app;
