-- kind: expand
-- A tenant's jobs of one kind are a lane. The claim is asked lane by lane, so that a worker takes the next
-- job of whoever holds the fewest places; for pgqueuer's statement, whose text stays as it is, a lane is
-- an entrypoint.
CREATE VIEW ragwork.lanes WITH (security_invoker = true) AS
    SELECT id, tenant_id, job_id, tenant_id || '/' || entrypoint AS entrypoint, payload, priority, status,
        attempts, reason, queue_manager_id, execute_after, heartbeat, created, updated
    FROM ragwork.jobs;
GRANT SELECT, UPDATE ON ragwork.lanes TO ragwork_dispatcher;

CREATE INDEX jobs_lane_idx ON ragwork.jobs ((tenant_id || '/' || entrypoint), priority DESC, id)
    WHERE status = 'queued';
-- Which tenants wait: one step through the index for each, however long their queues are.
CREATE INDEX jobs_waiting_idx ON ragwork.jobs (entrypoint, tenant_id) WHERE status = 'queued';
