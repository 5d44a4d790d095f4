-- kind: expand
-- Question sets, what came of asking them, and what people said of answers.

CREATE TABLE evals.feedback (
    tenant_id text NOT NULL,
    request_id text NOT NULL,               -- the run that it is about
    user_id text NOT NULL,                  -- whose run, and whose opinion
    session_id text NOT NULL,
    rating text NOT NULL CHECK (rating IN ('up', 'down')),
    comment text NOT NULL,
    expected text NOT NULL,                 -- what the answer should have said, '' for nothing said
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id, request_id)
);
CREATE INDEX feedback_by_age ON evals.feedback (tenant_id, created_at DESC, user_id, request_id);

CREATE TABLE evals.question_sets (
    tenant_id text NOT NULL,
    id text NOT NULL,
    name text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);

-- A question without documents and text is one that the corpus has no answer to.
CREATE TABLE evals.questions (
    tenant_id text NOT NULL,
    set_id text NOT NULL,
    n integer NOT NULL,
    question text NOT NULL,
    documents text[] NOT NULL,
    text text NOT NULL,
    feedback_user text,
    feedback_request text,
    PRIMARY KEY (tenant_id, set_id, n),
    FOREIGN KEY (tenant_id, set_id) REFERENCES evals.question_sets (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, feedback_user, feedback_request)
        REFERENCES evals.feedback (tenant_id, user_id, request_id) ON DELETE CASCADE
);
CREATE INDEX questions_by_feedback ON evals.questions (tenant_id, feedback_user, feedback_request)
    WHERE feedback_request IS NOT NULL;

-- asked_by: whose rights decide what is found.
CREATE TABLE evals.runs (
    tenant_id text NOT NULL,
    id text NOT NULL,
    set_id text NOT NULL,
    corpus_id text NOT NULL,
    settings jsonb NOT NULL,
    asked_by jsonb NOT NULL,
    status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'succeeded', 'failed')),
    failure_reason text,
    done integer NOT NULL DEFAULT 0,
    metrics jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, set_id) REFERENCES evals.question_sets (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX runs_by_age ON evals.runs (tenant_id, created_at DESC, id);

CREATE TABLE evals.results (
    tenant_id text NOT NULL,
    run_id text NOT NULL,
    n integer NOT NULL,
    found text[] NOT NULL,                  -- documents of the passages, best first
    scores jsonb NOT NULL,                  -- metric → the question's own
    PRIMARY KEY (tenant_id, run_id, n),
    FOREIGN KEY (tenant_id, run_id) REFERENCES evals.runs (tenant_id, id) ON DELETE CASCADE
);

DO $$
DECLARE
    target regclass;
BEGIN
    FOR target IN SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'evals'::regnamespace AND c.relkind = 'r' LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
        EXECUTE format(
            'CREATE POLICY tenant ON %s USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant())',
            target);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO ragwork_app', target);
    END LOOP;
END $$;
GRANT USAGE ON SCHEMA evals TO ragwork_app;
