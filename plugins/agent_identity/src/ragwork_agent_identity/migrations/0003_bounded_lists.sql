-- kind: expand
-- Of each tenant no more than ``most`` ids, those first that live longest: what one tenant revokes must not swell what
-- everybody reads. The whole list of one tenant is read by its id.
CREATE FUNCTION agents.listed_revocations(most integer) RETURNS TABLE (jti text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT r.jti FROM (
            SELECT t.jti, row_number() OVER (PARTITION BY t.tenant_id ORDER BY t.expires_at DESC, t.jti) AS place
              FROM agents.tokens t WHERE t.ended_at IS NOT NULL AND t.expires_at > now()
        ) AS r WHERE r.place <= most ORDER BY r.jti
    $$;
REVOKE ALL ON FUNCTION agents.listed_revocations(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION agents.listed_revocations(integer) TO ragwork_app;
