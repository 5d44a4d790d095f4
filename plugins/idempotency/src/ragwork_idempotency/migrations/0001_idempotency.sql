-- kind: expand
GRANT USAGE ON SCHEMA idempotency TO ragwork_app;

CREATE TABLE idempotency.answers (
    tenant_id text NOT NULL,
    actor_id text NOT NULL,
    method text NOT NULL,
    path text NOT NULL,
    key text NOT NULL CHECK (char_length(key) BETWEEN 1 AND 128),
    payload_sha256 bytea NOT NULL CHECK (octet_length(payload_sha256) = 32),
    status smallint,
    headers jsonb,
    body bytea,
    echo_id text,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, actor_id, method, path, key)
);
CREATE INDEX answers_by_expiry ON idempotency.answers (tenant_id, expires_at);

ALTER TABLE idempotency.answers ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency.answers FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON idempotency.answers FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency.answers TO ragwork_app;

-- Who inserts the row holds the key until its transaction ends; who meets it waits for that, then sees
-- what was committed. An expired row is taken over. Every statement below sees the latest commits.
CREATE FUNCTION idempotency.claim(
    p_actor text, p_method text, p_path text, p_key text, p_payload bytea, p_ttl interval
) RETURNS TABLE (outcome text, status smallint, headers jsonb, body bytea, echo_id text)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET lock_timeout = '5s' AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO idempotency.answers AS a (tenant_id, actor_id, method, path, key, payload_sha256, expires_at)
    VALUES (ragwork.tenant(), p_actor, p_method, p_path, p_key, p_payload, now() + p_ttl)
    ON CONFLICT (tenant_id, actor_id, method, path, key) DO UPDATE
        SET payload_sha256 = excluded.payload_sha256, status = NULL, headers = NULL, body = NULL,
            echo_id = NULL, expires_at = excluded.expires_at
        WHERE a.expires_at <= now();
    IF FOUND THEN
        RETURN QUERY SELECT 'miss', NULL::smallint, NULL::jsonb, NULL::bytea, NULL::text;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT CASE WHEN a.payload_sha256 = p_payload THEN 'hit' ELSE 'conflict' END,
               a.status, a.headers, a.body, a.echo_id
        FROM idempotency.answers a
        WHERE a.tenant_id = ragwork.tenant() AND a.actor_id = p_actor AND a.method = p_method
          AND a.path = p_path AND a.key = p_key;
EXCEPTION WHEN lock_not_available THEN
    RETURN QUERY SELECT 'in_progress', NULL::smallint, NULL::jsonb, NULL::bytea, NULL::text;
END $$;
REVOKE ALL ON FUNCTION idempotency.claim(text, text, text, text, bytea, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION idempotency.claim(text, text, text, text, bytea, interval) TO ragwork_app;
