-- kind: expand
ALTER TABLE directory.tenants
    ADD CONSTRAINT not_the_platform CHECK (tenant_id <> 'ragwork.platform');

-- FORCE binds the owner too, and the function below runs as the owner without a tenant.
CREATE POLICY all_tenants ON directory.tenants FOR SELECT TO ragwork_owner USING (true);

-- For system tasks that visit each tenant in a transaction of its own. It gives ids and nothing else.
CREATE FUNCTION directory.all_tenants() RETURNS TABLE (tenant_id text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT t.tenant_id FROM directory.tenants t ORDER BY t.tenant_id COLLATE "C" $$;
REVOKE ALL ON FUNCTION directory.all_tenants() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION directory.all_tenants() TO ragwork_app;
