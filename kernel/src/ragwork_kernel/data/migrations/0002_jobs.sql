-- kind: expand
-- The queue of record. Columns and states are those that pgqueuer's claim statement knows, so that its
-- claim (skip locked, take over stale leases) runs unchanged; tenant_id, job_id and reason are ours.
-- priority is minus the job's virtual start time: see ragwork.enqueue.
CREATE TYPE ragwork.job_state AS ENUM
    ('queued', 'picked', 'successful', 'exception', 'canceled', 'deleted', 'failed');

CREATE TABLE ragwork.jobs (
    tenant_id text NOT NULL,
    job_id uuid NOT NULL DEFAULT gen_random_uuid(),
    id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    entrypoint text NOT NULL,
    payload jsonb NOT NULL,
    priority bigint NOT NULL,
    status ragwork.job_state NOT NULL DEFAULT 'queued',
    attempts int NOT NULL DEFAULT 0,
    reason text,
    queue_manager_id uuid,
    execute_after timestamptz NOT NULL DEFAULT now(),
    heartbeat timestamptz NOT NULL DEFAULT now(),
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, job_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
        autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 500);

CREATE INDEX jobs_claim_idx ON ragwork.jobs (entrypoint, priority DESC, id) WHERE status = 'queued';
CREATE INDEX jobs_lease_idx ON ragwork.jobs (heartbeat) WHERE status = 'picked';
CREATE INDEX jobs_clock_idx ON ragwork.jobs (entrypoint, priority) WHERE status <> 'queued';
CREATE INDEX jobs_backlog_idx ON ragwork.jobs (tenant_id, entrypoint, priority) WHERE status = 'queued';
CREATE INDEX jobs_done_idx ON ragwork.jobs (status, updated) WHERE status IN ('successful', 'failed');
CREATE INDEX jobs_job_idx ON ragwork.jobs (job_id);

ALTER TABLE ragwork.jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE ragwork.jobs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ragwork.jobs FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
CREATE POLICY dispatch ON ragwork.jobs FOR ALL TO ragwork_dispatcher USING (true) WITH CHECK (true);
-- For ragwork.enqueue and ragwork.queue_depth: the virtual clock and the depth are over all tenants.
CREATE POLICY clock ON ragwork.jobs FOR SELECT TO ragwork_owner USING (true);
GRANT SELECT ON ragwork.jobs TO ragwork_app;
GRANT SELECT, UPDATE, DELETE ON ragwork.jobs TO ragwork_dispatcher;

-- pgqueuer's claim also writes a log row. The job's own row says it all, so the log stays empty.
CREATE TABLE ragwork.jobs_log (
    job_id bigint NOT NULL,
    status ragwork.job_state NOT NULL,
    entrypoint text NOT NULL,
    priority bigint NOT NULL
);
CREATE FUNCTION ragwork.keep_no_log() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER keep_no_log BEFORE INSERT ON ragwork.jobs_log
    FOR EACH ROW EXECUTE FUNCTION ragwork.keep_no_log();
GRANT INSERT ON ragwork.jobs_log TO ragwork_dispatcher;

-- Every claim by a worker is an attempt, the take-over of a dead worker's job included.
CREATE FUNCTION ragwork.count_attempt() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.attempts := OLD.attempts + 1;
    IF OLD.status = 'picked' THEN
        NEW.reason := format('the worker was lost during attempt %s', OLD.attempts);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER count_attempt BEFORE UPDATE ON ragwork.jobs FOR EACH ROW
    WHEN (NEW.status = 'picked' AND OLD.queue_manager_id IS DISTINCT FROM NEW.queue_manager_id)
    EXECUTE FUNCTION ragwork.count_attempt();

-- Start-time fair queueing, per kind. The clock is the latest virtual start among jobs that were ever
-- claimed; a tenant's next job starts one after its last waiting one, and never before the clock. So a
-- newcomer stands beside the head of everybody's backlog. No row is locked: transactions of one tenant
-- that enqueue at the same time take different seats, so that parallel calls buy no larger share.
CREATE FUNCTION ragwork.enqueue(kind text, payload jsonb) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant CONSTANT text := ragwork.tenant();
    seat int := 0;
    clock bigint;
    last bigint;
    job uuid;
BEGIN
    IF tenant IS NULL THEN
        RAISE EXCEPTION 'a job needs a tenant' USING ERRCODE = 'insufficient_privilege';
    END IF;
    WHILE seat < 64 AND NOT pg_try_advisory_xact_lock(hashtext(tenant || '/' || kind), seat) LOOP
        seat := seat + 1;
    END LOOP;
    SELECT min(j.priority) INTO clock FROM ragwork.jobs j WHERE j.entrypoint = kind AND j.status <> 'queued';
    SELECT min(j.priority) INTO last FROM ragwork.jobs j
        WHERE j.tenant_id = tenant AND j.entrypoint = kind AND j.status = 'queued';
    INSERT INTO ragwork.jobs (tenant_id, entrypoint, payload, priority)
        VALUES (tenant, kind, payload, LEAST(COALESCE(clock, 0), last - 1) - seat)
        RETURNING job_id INTO job;
    PERFORM pg_notify('ragwork_jobs', '');
    RETURN job;
END $$;
REVOKE ALL ON FUNCTION ragwork.enqueue(text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ragwork.enqueue(text, jsonb) TO ragwork_app;

-- Counts over all tenants, for health and metrics; no tenant's name or id leaves it.
CREATE FUNCTION ragwork.queue_depth()
    RETURNS TABLE (kind text, waiting bigint, running bigint, dead bigint, oldest_s double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT part.entrypoint, sum(part.queued)::bigint, sum(part.picked)::bigint, sum(part.failed)::bigint,
            COALESCE(EXTRACT(epoch FROM now() - min(part.due)), 0)::double precision
        FROM (
            SELECT j.entrypoint, count(*) AS queued, 0 AS picked, 0 AS failed,
                min(j.execute_after) FILTER (WHERE j.execute_after < now()) AS due
            FROM ragwork.jobs j WHERE j.status = 'queued' GROUP BY 1
            UNION ALL
            SELECT j.entrypoint, 0, count(*), 0, NULL FROM ragwork.jobs j WHERE j.status = 'picked' GROUP BY 1
            UNION ALL
            SELECT j.entrypoint, 0, 0, count(*), NULL FROM ragwork.jobs j WHERE j.status = 'failed' GROUP BY 1
        ) part
        GROUP BY 1;
    END;
REVOKE ALL ON FUNCTION ragwork.queue_depth() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ragwork.queue_depth() TO ragwork_app, ragwork_dispatcher;

-- host names one boot of one process namespace: within it a pid tells whether the worker still lives.
CREATE TABLE ragwork.workers (
    id uuid PRIMARY KEY,
    host text NOT NULL,
    pid int NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON ragwork.workers TO ragwork_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ragwork.workers TO ragwork_dispatcher;

CREATE TABLE ragwork.schedules (
    name text PRIMARY KEY,
    tick timestamptz NOT NULL,
    started_at timestamptz,
    succeeded_at timestamptz,
    reason text
);
GRANT SELECT ON ragwork.schedules TO ragwork_app;
GRANT SELECT, INSERT, UPDATE ON ragwork.schedules TO ragwork_dispatcher;
