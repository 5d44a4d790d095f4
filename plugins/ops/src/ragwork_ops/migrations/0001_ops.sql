-- kind: expand
GRANT USAGE ON SCHEMA ops TO ragwork_app;

-- Requests of one minute as one process served them: mergeable over processes. Of no tenant.
CREATE TABLE ops.traffic (
    replica uuid NOT NULL,
    minute timestamptz NOT NULL,
    class text NOT NULL CHECK (char_length(class) <= 64),
    requests bigint NOT NULL,
    errors bigint NOT NULL,
    buckets bigint[] NOT NULL,
    PRIMARY KEY (replica, minute, class)
);
CREATE INDEX traffic_by_minute ON ops.traffic (minute);
GRANT SELECT, INSERT, UPDATE, DELETE ON ops.traffic TO ragwork_app;

CREATE TABLE ops.maintenance_runs (
    task text PRIMARY KEY CHECK (char_length(task) <= 128),
    last_run_at timestamptz NOT NULL,
    status text NOT NULL CHECK (status IN ('succeeded', 'failed')),
    deleted_rows bigint NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON ops.maintenance_runs TO ragwork_app;
