-- kind: expand
GRANT USAGE ON SCHEMA rollouts TO ragwork_app;

-- Switches and canaries stop something for all tenants, so they belong to none. A row is what an
-- operator has set; without one the process's own setting holds.
CREATE TABLE rollouts.switches (
    name text PRIMARY KEY CHECK (name ~ '^kill\.[a-z_]{1,64}$'),
    killed boolean NOT NULL
);
CREATE TABLE rollouts.canaries (
    name text PRIMARY KEY CHECK (name ~ '^rollout\.[a-z_]{1,64}$'),
    percentage integer NOT NULL CHECK (percentage BETWEEN 0 AND 100)
);
GRANT SELECT, INSERT, UPDATE ON rollouts.switches, rollouts.canaries TO ragwork_app;
