-- kind: expand
-- What would raise a role, until two admins want it. The subject is a user, or what gives roles to users, such as
-- an identity provider; `state` is what it would then be, so that nobody agrees to what was changed meanwhile.
CREATE TABLE directory.role_requests (
    tenant_id text NOT NULL,
    id text NOT NULL,
    subject_type text NOT NULL CHECK (subject_type <> '' AND char_length(subject_type) <= 64),
    subject_id text NOT NULL CHECK (subject_id <> '' AND char_length(subject_id) <= 128),
    role text NOT NULL CHECK (role IN ('reader', 'editor', 'admin')),
    state text NOT NULL CHECK (char_length(state) <= 256),
    requested_by text NOT NULL CHECK (char_length(requested_by) <= 256),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, subject_type, subject_id)
);

ALTER TABLE directory.role_requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE directory.role_requests FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON directory.role_requests FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON directory.role_requests TO ragwork_app;
