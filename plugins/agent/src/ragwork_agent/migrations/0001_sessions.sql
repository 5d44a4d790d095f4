-- kind: expand
-- A session belongs to one user of one tenant. turn counts its runs; busy_until is the lease of the run
-- that holds the session, answered the last turn that has an answer, checkpoint the graph's own state.
CREATE TABLE agent.sessions (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    id text NOT NULL,
    corpus_id text NOT NULL,
    turn integer NOT NULL,
    answered integer NOT NULL DEFAULT 0,
    busy_until timestamptz,
    checkpoint jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id, id)
) WITH (fillfactor = 80);
CREATE INDEX sessions_recent ON agent.sessions (tenant_id, user_id, created_at DESC, id);

-- sources: ids of the documents whose text the answer may carry, its history's included.
CREATE TABLE agent.messages (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    session_id text NOT NULL,
    turn integer NOT NULL,
    role text NOT NULL CHECK (role IN ('user', 'assistant')),
    text text NOT NULL,
    status text NOT NULL DEFAULT 'complete' CHECK (status IN ('complete', 'partial')),
    citations jsonb NOT NULL DEFAULT '[]',
    sources text[] NOT NULL DEFAULT '{}',
    usage jsonb,
    request_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id, session_id, turn, role),
    FOREIGN KEY (tenant_id, user_id, session_id) REFERENCES agent.sessions (tenant_id, user_id, id) ON DELETE CASCADE
);

-- What the blob store holds of a session's speech, so that it can be removed when it expires.
CREATE TABLE agent.audio (
    tenant_id text NOT NULL,
    key text NOT NULL,
    user_id text NOT NULL,
    session_id text NOT NULL,
    mime text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX audio_expiry ON agent.audio (tenant_id, expires_at);
CREATE INDEX audio_session ON agent.audio (tenant_id, user_id, session_id);

ALTER TABLE agent.sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent.sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY sessions_tenant ON agent.sessions FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
ALTER TABLE agent.messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent.messages FORCE ROW LEVEL SECURITY;
CREATE POLICY messages_tenant ON agent.messages FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
ALTER TABLE agent.audio ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent.audio FORCE ROW LEVEL SECURITY;
CREATE POLICY audio_tenant ON agent.audio FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());

GRANT USAGE ON SCHEMA agent TO ragwork_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON agent.sessions, agent.messages, agent.audio TO ragwork_app;
