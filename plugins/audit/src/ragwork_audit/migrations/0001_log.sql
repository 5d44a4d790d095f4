-- kind: expand
GRANT USAGE ON SCHEMA audit TO ragwork_app;

-- What happened. Written by the application, never changed by it. metadata is the very text that is hashed.
CREATE TABLE audit.events (
    tenant_id text NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor_type text NOT NULL,
    actor_id text,
    actor_role text,
    event_type text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('success', 'failure')),
    resource_type text,
    resource_id text,
    request_id text,
    client_request_id text,
    ip_address text,
    user_agent text,
    metadata text,
    repeats int NOT NULL DEFAULT 0 CHECK (repeats >= 0),
    error_code text,
    voucher bytea NOT NULL CHECK (octet_length(voucher) = 48),
    PRIMARY KEY (tenant_id, id),
    -- A copied row is not a second record.
    UNIQUE (tenant_id, voucher)
);
CREATE INDEX events_by_transaction ON audit.events (tenant_id, xid);
CREATE INDEX events_by_type ON audit.events (tenant_id, event_type, occurred_at);
CREATE INDEX events_by_time ON audit.events (tenant_id, occurred_at);

-- The place of a record in its tenant's log, from 0 without a gap, and its leaf hash.
CREATE TABLE audit.seals (
    tenant_id text NOT NULL,
    seq bigint NOT NULL CHECK (seq >= 0),
    event_id bigint NOT NULL,
    leaf bytea NOT NULL CHECK (octet_length(leaf) = 32),
    PRIMARY KEY (tenant_id, seq),
    UNIQUE (tenant_id, event_id)
);

-- Roots of complete subtrees of 256, 65536 … leaves, so that a proof reads little.
CREATE TABLE audit.nodes (
    tenant_id text NOT NULL,
    level smallint NOT NULL,
    place bigint NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (tenant_id, level, place)
);

-- Signed notes: a checkpoint per sealing, and one cut that stands for what was pruned. low and cluster repeat
-- the note: below low no record of the tenant is unsealed, as long as the database cluster is the same.
CREATE TABLE audit.checkpoints (
    tenant_id text NOT NULL,
    size bigint NOT NULL CHECK (size > 0),
    low xid8 NOT NULL,
    cluster text NOT NULL,
    frontier bytea NOT NULL,
    note text NOT NULL,
    PRIMARY KEY (tenant_id, size)
);
CREATE TABLE audit.cuts (
    tenant_id text NOT NULL,
    size bigint NOT NULL CHECK (size > 0),
    frontier bytea NOT NULL,
    note text NOT NULL,
    PRIMARY KEY (tenant_id, size)
);

ALTER TABLE audit.events ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.events FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit.events FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
ALTER TABLE audit.seals ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.seals FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit.seals FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
ALTER TABLE audit.nodes ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.nodes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit.nodes FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
ALTER TABLE audit.checkpoints ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.checkpoints FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit.checkpoints FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
ALTER TABLE audit.cuts ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.cuts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit.cuts FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());

-- The functions below find tenants, so they run as the owner and read beyond one tenant.
CREATE POLICY lookup ON audit.events FOR SELECT TO ragwork_owner USING (true);
CREATE POLICY lookup ON audit.seals FOR SELECT TO ragwork_owner USING (true);
CREATE POLICY lookup ON audit.checkpoints FOR SELECT TO ragwork_owner USING (true);
CREATE POLICY lookup ON audit.cuts FOR SELECT TO ragwork_owner USING (true);

-- id, xid and occurred_at are the database's to give.
GRANT SELECT ON audit.events, audit.seals, audit.nodes, audit.checkpoints, audit.cuts TO ragwork_app, ragwork_backup;
GRANT INSERT (tenant_id, actor_type, actor_id, actor_role, event_type, outcome, resource_type, resource_id,
    request_id, client_request_id, ip_address, user_agent, metadata, repeats, error_code, voucher)
    ON audit.events TO ragwork_app;
GRANT INSERT ON audit.seals, audit.nodes, audit.checkpoints TO ragwork_app;

-- Every tenant that has records or ever sealed some, each found by one index descent.
CREATE FUNCTION audit.tenants() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        WITH RECURSIVE recorded AS (
            SELECT (SELECT min(e.tenant_id) FROM audit.events e) AS id
            UNION ALL
            SELECT (SELECT min(e.tenant_id) FROM audit.events e WHERE e.tenant_id > r.id)
            FROM recorded r WHERE r.id IS NOT NULL
        ), sealed AS (
            SELECT (SELECT min(c.tenant_id) FROM audit.checkpoints c) AS id
            UNION ALL
            SELECT (SELECT min(c.tenant_id) FROM audit.checkpoints c WHERE c.tenant_id > s.id)
            FROM sealed s WHERE s.id IS NOT NULL
        ), placed AS (
            SELECT (SELECT min(p.tenant_id) FROM audit.seals p) AS id
            UNION ALL
            SELECT (SELECT min(p.tenant_id) FROM audit.seals p WHERE p.tenant_id > l.id)
            FROM placed l WHERE l.id IS NOT NULL
        )
        SELECT id FROM recorded WHERE id IS NOT NULL
        UNION SELECT id FROM sealed WHERE id IS NOT NULL
        UNION SELECT id FROM placed WHERE id IS NOT NULL
        UNION SELECT c.tenant_id FROM audit.cuts c;
    END;

-- Those of them with a record that is not sealed yet.
CREATE FUNCTION audit.unsealed() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        WITH RECURSIVE recorded AS (
            SELECT (SELECT min(e.tenant_id) FROM audit.events e) AS id
            UNION ALL
            SELECT (SELECT min(e.tenant_id) FROM audit.events e WHERE e.tenant_id > r.id)
            FROM recorded r WHERE r.id IS NOT NULL
        )
        SELECT r.id FROM recorded r
        LEFT JOIN LATERAL (
            SELECT c.low, c.cluster FROM audit.checkpoints c
            WHERE c.tenant_id = r.id ORDER BY c.size DESC LIMIT 1
        ) last ON true
        WHERE r.id IS NOT NULL AND EXISTS (
            SELECT FROM audit.events e
            WHERE e.tenant_id = r.id
                AND e.xid >= CASE
                    WHEN last.cluster = (SELECT system_identifier::text FROM pg_control_system()) THEN last.low
                    ELSE '0'::xid8 END
                AND NOT EXISTS (
                    SELECT FROM audit.seals s WHERE s.tenant_id = e.tenant_id AND s.event_id = e.id));
    END;

-- Remove the records before place cut_size of the current tenant and leave the signed cut that stands for them.
-- It refuses what is not sealed and checkpointed, and what is younger than a day, whoever asks.
CREATE FUNCTION audit.cut(cut_size bigint, cut_frontier bytea, cut_note text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant CONSTANT text := ragwork.tenant();
    removed bigint;
BEGIN
    IF tenant IS NULL THEN
        RAISE EXCEPTION 'a cut needs a tenant' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF cut_size > (SELECT max(c.size) FROM audit.checkpoints c WHERE c.tenant_id = tenant) THEN
        RAISE EXCEPTION 'only what a checkpoint covers can be cut' USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (
        SELECT FROM audit.seals s JOIN audit.events e ON e.tenant_id = s.tenant_id AND e.id = s.event_id
        WHERE s.tenant_id = tenant AND s.seq < cut_size AND e.occurred_at > now() - interval '1 day'
    ) THEN
        RAISE EXCEPTION 'records younger than a day stay' USING ERRCODE = 'check_violation';
    END IF;
    DELETE FROM audit.events e USING audit.seals s
        WHERE s.tenant_id = tenant AND s.seq < cut_size AND e.tenant_id = tenant AND e.id = s.event_id;
    GET DIAGNOSTICS removed = ROW_COUNT;
    DELETE FROM audit.seals s WHERE s.tenant_id = tenant AND s.seq < cut_size;
    DELETE FROM audit.nodes n WHERE n.tenant_id = tenant AND (n.place + 1) << n.level <= cut_size;
    DELETE FROM audit.checkpoints c WHERE c.tenant_id = tenant AND c.size < cut_size;
    DELETE FROM audit.cuts c WHERE c.tenant_id = tenant;
    INSERT INTO audit.cuts (tenant_id, size, frontier, note) VALUES (tenant, cut_size, cut_frontier, cut_note);
    RETURN removed;
END $$;

REVOKE ALL ON FUNCTION audit.tenants(), audit.unsealed(), audit.cut(bigint, bytea, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.tenants(), audit.unsealed(), audit.cut(bigint, bytea, text) TO ragwork_app;
