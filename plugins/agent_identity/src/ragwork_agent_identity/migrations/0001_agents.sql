-- kind: expand
GRANT USAGE ON SCHEMA agents TO ragwork_app;

-- ``revision`` grows with whatever a decision depends on: the agent, its assignments, their policies.
CREATE TABLE agents.agents (
    tenant_id text NOT NULL,
    id text NOT NULL,
    client_id text NOT NULL,
    name text NOT NULL CHECK (name <> '' AND char_length(name) <= 200),
    description text NOT NULL DEFAULT '',
    tags text[] NOT NULL DEFAULT '{}',
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'revoked')),
    token_ttl_s integer CHECK (token_ttl_s BETWEEN 300 AND 86400),
    scopes text[] NOT NULL DEFAULT '{}',
    framework text,
    constraints jsonb NOT NULL DEFAULT '{}',
    jwks jsonb,
    dpop_bound boolean NOT NULL DEFAULT false,
    revision bigint NOT NULL DEFAULT 1,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (client_id)
);
CREATE INDEX agents_newest ON agents.agents (tenant_id, created_at DESC, id);

CREATE TABLE agents.credentials (
    tenant_id text NOT NULL,
    id text NOT NULL,
    agent_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('client_secret', 'api_key', 'enroll')),
    name text,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    scopes text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    used_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (id),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents.agents (tenant_id, id)
);
CREATE INDEX credentials_of ON agents.credentials (tenant_id, agent_id, kind);

CREATE TABLE agents.policies (
    tenant_id text NOT NULL,
    id text NOT NULL,
    name text NOT NULL CHECK (name <> '' AND char_length(name) <= 200),
    description text NOT NULL DEFAULT '',
    mode text NOT NULL CHECK (mode IN ('active', 'shadow', 'inactive')),
    content text NOT NULL,
    source text NOT NULL,
    revision integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE agents.policy_versions (
    tenant_id text NOT NULL,
    policy_id text NOT NULL,
    revision integer NOT NULL,
    name text NOT NULL,
    content text NOT NULL,
    source text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, policy_id, revision)
);

CREATE TABLE agents.assignments (
    tenant_id text NOT NULL,
    agent_id text NOT NULL,
    policy_id text NOT NULL,
    PRIMARY KEY (tenant_id, agent_id, policy_id),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents.agents (tenant_id, id),
    FOREIGN KEY (tenant_id, policy_id) REFERENCES agents.policies (tenant_id, id)
);
CREATE INDEX assignments_of ON agents.assignments (tenant_id, policy_id);

-- Every token ever issued, without the token. ``parent`` is the token that it was delegated from.
CREATE TABLE agents.tokens (
    tenant_id text NOT NULL,
    jti text NOT NULL,
    agent_id text NOT NULL,
    kid text NOT NULL,
    grant_type text NOT NULL,
    scopes text[] NOT NULL,
    audience text NOT NULL,
    task_id text,
    parent text,
    depth integer NOT NULL DEFAULT 0,
    on_behalf_of text,
    delegation_id text,
    family text,
    custom_ttl boolean NOT NULL DEFAULT false,
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    reason text CHECK (reason IN ('manual_revocation', 'system_kill', 'key_compromised')),
    ended_by text,
    PRIMARY KEY (tenant_id, jti)
);
CREATE INDEX tokens_newest ON agents.tokens (tenant_id, issued_at DESC, jti);
CREATE INDEX tokens_of ON agents.tokens (tenant_id, agent_id, expires_at);
CREATE INDEX tokens_children ON agents.tokens (tenant_id, parent) WHERE parent IS NOT NULL;
CREATE INDEX tokens_family ON agents.tokens (tenant_id, family) WHERE family IS NOT NULL;
CREATE INDEX tokens_ended ON agents.tokens (expires_at) WHERE ended_at IS NOT NULL;

CREATE TABLE agents.refresh_tokens (
    tenant_id text NOT NULL,
    id text NOT NULL,
    family text NOT NULL,
    agent_id text NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    scopes text[] NOT NULL,
    audience text NOT NULL,
    task_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (id)
);
CREATE INDEX refresh_family ON agents.refresh_tokens (tenant_id, family);
CREATE INDEX refresh_of ON agents.refresh_tokens (tenant_id, agent_id);

-- What a person lets an agent do in their name.
CREATE TABLE agents.delegations (
    tenant_id text NOT NULL,
    id text NOT NULL,
    user_id text NOT NULL,
    agent_id text NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX delegations_of ON agents.delegations (tenant_id, user_id, created_at DESC);

-- ``sealed`` is the private key under AES-256-GCM, bound to tenant and kid.
CREATE TABLE agents.signing_keys (
    tenant_id text NOT NULL,
    kid text NOT NULL,
    public jsonb NOT NULL,
    sealed bytea NOT NULL,
    status text NOT NULL CHECK (status IN ('active', 'next', 'retired', 'compromised')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    retired_at timestamptz,
    PRIMARY KEY (tenant_id, kid)
);
CREATE UNIQUE INDEX signing_keys_one_active ON agents.signing_keys (tenant_id) WHERE status = 'active';
CREATE UNIQUE INDEX signing_keys_one_next ON agents.signing_keys (tenant_id) WHERE status = 'next';

CREATE TABLE agents.integrations (
    tenant_id text NOT NULL,
    name text NOT NULL,
    capabilities jsonb NOT NULL DEFAULT '{}',
    deny_always text[] NOT NULL DEFAULT '{}',
    credential_type text,
    sealed bytea,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, name)
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['agents', 'credentials', 'policies', 'policy_versions', 'assignments', 'tokens',
                                'refresh_tokens', 'delegations', 'signing_keys', 'integrations'] LOOP
        EXECUTE format('ALTER TABLE agents.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE agents.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON agents.%I FOR ALL USING (tenant_id = ragwork.tenant()) '
                       'WITH CHECK (tenant_id = ragwork.tenant())', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON agents.%I TO ragwork_app', name);
    END LOOP;
END $$;

-- FORCE binds the owner too, and the look-ups below run as the owner before any tenant is known.
CREATE POLICY lookup ON agents.agents FOR SELECT TO ragwork_owner USING (true);
CREATE POLICY lookup ON agents.credentials FOR SELECT TO ragwork_owner USING (true);
CREATE POLICY lookup ON agents.refresh_tokens FOR SELECT TO ragwork_owner USING (true);
CREATE POLICY lookup ON agents.tokens FOR SELECT TO ragwork_owner USING (true);
CREATE POLICY lookup ON agents.signing_keys FOR SELECT TO ragwork_owner USING (true);

-- The tenant of a client id, credential id or refresh token id. It says nothing else.
CREATE FUNCTION agents.tenant_of(wanted text) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT a.tenant_id FROM agents.agents a WHERE a.client_id = wanted
        UNION ALL SELECT c.tenant_id FROM agents.credentials c WHERE c.id = wanted
        UNION ALL SELECT r.tenant_id FROM agents.refresh_tokens r WHERE r.id = wanted
        LIMIT 1
    $$;
-- What is public anyway: keys that verify unexpired tokens, and the ids of those revoked before their end.
CREATE FUNCTION agents.published_keys(keep interval)
    RETURNS TABLE (tenant_id text, kid text, public jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT k.tenant_id, k.kid, k.public FROM agents.signing_keys k
         WHERE k.status IN ('active', 'next') OR (k.status = 'retired' AND k.retired_at > now() - keep)
         ORDER BY k.created_at, k.kid
    $$;
CREATE FUNCTION agents.revoked_ids() RETURNS TABLE (jti text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT t.jti FROM agents.tokens t WHERE t.ended_at IS NOT NULL AND t.expires_at > now() ORDER BY t.jti
    $$;
REVOKE ALL ON FUNCTION agents.tenant_of(text), agents.published_keys(interval), agents.revoked_ids() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION agents.tenant_of(text), agents.published_keys(interval), agents.revoked_ids() TO ragwork_app;
