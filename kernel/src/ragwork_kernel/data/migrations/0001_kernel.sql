-- kind: expand
-- The tenant that the current transaction is bound to; NULL outside one, so nothing matches.
CREATE FUNCTION ragwork.tenant() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(pg_catalog.current_setting('ragwork.tenant', true), '');

-- Key material made once outside production; readable only through the function below.
CREATE TABLE ragwork.secrets (
    name text PRIMARY KEY,
    value bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- First caller's candidate wins; every process gets the same bytes.
CREATE FUNCTION ragwork.shared_secret(secret_name text, candidate bytea) RETURNS bytea
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        INSERT INTO ragwork.secrets (name, value) VALUES (secret_name, candidate) ON CONFLICT (name) DO NOTHING;
        SELECT value FROM ragwork.secrets WHERE name = secret_name;
    END;
REVOKE ALL ON FUNCTION ragwork.shared_secret(text, bytea) FROM PUBLIC;

GRANT USAGE ON SCHEMA ragwork TO ragwork_app, ragwork_dispatcher, ragwork_backup;
GRANT EXECUTE ON FUNCTION ragwork.tenant() TO ragwork_app, ragwork_dispatcher, ragwork_backup;
GRANT EXECUTE ON FUNCTION ragwork.shared_secret(text, bytea) TO ragwork_app;
GRANT SELECT ON ragwork.migrations TO ragwork_app, ragwork_dispatcher, ragwork_backup;
