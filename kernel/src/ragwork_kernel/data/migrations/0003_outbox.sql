-- kind: expand
-- One row per event and sink. A lane is (tenant, sink, key); its rows are delivered in order of id.
-- attempt > 0 marks a row that a relay has in hand or that waits for its next attempt: until due_at its
-- whole lane rests. A dead row keeps its reason and no longer holds up the lane.
CREATE TABLE ragwork.outbox (
    tenant_id text NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    sink text NOT NULL,
    type text NOT NULL,
    key text NOT NULL,
    payload jsonb NOT NULL,
    attempt int NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    relay uuid,
    dead_at timestamptz,
    reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
CREATE INDEX outbox_waiting_idx ON ragwork.outbox (id) WHERE dead_at IS NULL;
CREATE INDEX outbox_touched_idx ON ragwork.outbox (tenant_id, sink, key) WHERE dead_at IS NULL AND attempt > 0;

ALTER TABLE ragwork.outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE ragwork.outbox FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ragwork.outbox FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
CREATE POLICY dispatch ON ragwork.outbox FOR ALL TO ragwork_dispatcher USING (true) WITH CHECK (true);
GRANT INSERT ON ragwork.outbox TO ragwork_app;
GRANT SELECT, UPDATE, DELETE ON ragwork.outbox TO ragwork_dispatcher;

-- Take the next rows of lanes that rest with nobody, at most per_lane of one lane. Claims go one after
-- another: the lock is taken in a statement of its own, so the next one's snapshot sees what the relay
-- before it claimed, and a lane is never split between two.
CREATE FUNCTION ragwork.claim_events(
    relay_id uuid, sinks text[], per_lane int, most int, lease interval
) RETURNS SETOF ragwork.outbox
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ragwork.claim_events'), 0);
    RETURN QUERY
        WITH free AS (
            SELECT o.tenant_id, o.id, o.sink, o.key FROM ragwork.outbox o
            WHERE o.dead_at IS NULL AND o.sink = ANY (sinks) AND NOT EXISTS (
                SELECT FROM ragwork.outbox b
                WHERE b.dead_at IS NULL AND b.attempt > 0 AND b.due_at > now()
                    AND b.tenant_id = o.tenant_id AND b.sink = o.sink AND b.key = o.key)
            ORDER BY o.id LIMIT most * 5
        ), placed AS (
            SELECT f.tenant_id, f.id,
                row_number() OVER (PARTITION BY f.tenant_id, f.sink, f.key ORDER BY f.id) AS place
            FROM free f
        ), chosen AS (
            SELECT p.tenant_id, p.id FROM placed p WHERE p.place <= per_lane ORDER BY p.id LIMIT most
        )
        UPDATE ragwork.outbox o
        SET attempt = o.attempt + 1, due_at = now() + lease, relay = relay_id
        FROM chosen c WHERE o.tenant_id = c.tenant_id AND o.id = c.id
        RETURNING o.*;
END $$;
REVOKE ALL ON FUNCTION ragwork.claim_events(uuid, text[], int, int, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ragwork.claim_events(uuid, text[], int, int, interval) TO ragwork_dispatcher;
