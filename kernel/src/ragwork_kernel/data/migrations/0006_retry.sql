-- kind: expand
-- Queue a dead job of the transaction's tenant again with all its attempts, before everybody's backlog; whether
-- there was one. It runs as the owner, whom the tenant's policy binds too.
CREATE FUNCTION ragwork.retry_job(wanted uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE ragwork.jobs AS job
       SET status = 'queued', attempts = 0, execute_after = now(), updated = now(),
           priority = (SELECT min(j.priority) FROM ragwork.jobs j
                        WHERE j.entrypoint = job.entrypoint AND j.status <> 'queued')
     WHERE job.tenant_id = ragwork.tenant() AND job.job_id = wanted AND job.status = 'failed';
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM pg_notify('ragwork_jobs', '');
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION ragwork.retry_job(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ragwork.retry_job(uuid) TO ragwork_app;
