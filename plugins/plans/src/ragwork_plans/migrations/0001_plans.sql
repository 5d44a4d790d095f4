-- kind: expand
GRANT USAGE ON SCHEMA plans TO ragwork_app;

-- The catalogue belongs to no tenant: migrations write it, the application reads it.
CREATE TABLE plans.plans (
    id text PRIMARY KEY CHECK (id ~ '^[a-z][a-z0-9_]{0,63}$'),
    name text NOT NULL,
    position integer NOT NULL UNIQUE,
    is_active boolean NOT NULL DEFAULT true,
    -- Whether the plan also includes features that the catalogue does not name, such as those of a
    -- third party's plugin.
    includes_unlisted boolean NOT NULL DEFAULT false
);

CREATE TABLE plans.features (
    key text PRIMARY KEY CHECK (key ~ '^[a-z][a-z0-9_.]{0,127}$'),
    position integer NOT NULL UNIQUE
);

CREATE TABLE plans.inclusions (
    plan_id text NOT NULL REFERENCES plans.plans (id),
    feature_key text NOT NULL REFERENCES plans.features (key),
    config jsonb CHECK (jsonb_typeof(config) = 'object'),
    PRIMARY KEY (plan_id, feature_key)
);

GRANT SELECT ON plans.plans, plans.features, plans.inclusions TO ragwork_app;

INSERT INTO plans.plans (id, name, position, includes_unlisted) VALUES
    ('free', 'Free', 1, false),
    ('pro', 'Pro', 2, false),
    ('enterprise', 'Enterprise', 3, true);

INSERT INTO plans.features (key, position) VALUES
    ('retrieval.local_pgvector', 1),
    ('retrieval.aws_bedrock', 2),
    ('retrieval.gcp_vertex', 3),
    ('tts', 4),
    ('ops_admin_access', 5),
    ('audit_access', 6),
    ('corpora_patch_provider_config', 7),
    ('billing_webhook_test', 8),
    ('high_quota_tier', 9),
    ('identity.sso', 10),
    ('identity.scim', 11),
    ('identity.jit', 12),
    ('cost_visibility', 13),
    ('cost_controls', 14),
    ('chargeback_reports', 15);

INSERT INTO plans.inclusions (plan_id, feature_key) VALUES ('free', 'retrieval.local_pgvector');
INSERT INTO plans.inclusions (plan_id, feature_key)
SELECT 'pro', key FROM plans.features
 WHERE key NOT IN ('retrieval.aws_bedrock', 'high_quota_tier', 'identity.scim', 'chargeback_reports');
INSERT INTO plans.inclusions (plan_id, feature_key) SELECT 'enterprise', key FROM plans.features;

CREATE TABLE plans.assignments (
    tenant_id text PRIMARY KEY,
    plan_id text NOT NULL REFERENCES plans.plans (id),
    effective_from timestamptz NOT NULL DEFAULT now()
);

-- NULL leaves to the plan what the override does not say.
CREATE TABLE plans.overrides (
    tenant_id text NOT NULL,
    feature_key text NOT NULL REFERENCES plans.features (key),
    enabled boolean,
    config jsonb CHECK (jsonb_typeof(config) = 'object'),
    PRIMARY KEY (tenant_id, feature_key)
);

CREATE TABLE plans.upgrade_requests (
    tenant_id text NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    target_plan text NOT NULL REFERENCES plans.plans (id),
    reason text CHECK (char_length(reason) <= 1024),
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    granted_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
-- A tenant has one open wish for each plan, however often it asks.
CREATE UNIQUE INDEX open_upgrade_requests ON plans.upgrade_requests (tenant_id, target_plan)
    WHERE granted_at IS NULL;

ALTER TABLE plans.assignments ENABLE ROW LEVEL SECURITY;
ALTER TABLE plans.assignments FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON plans.assignments FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());

ALTER TABLE plans.overrides ENABLE ROW LEVEL SECURITY;
ALTER TABLE plans.overrides FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON plans.overrides FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());

ALTER TABLE plans.upgrade_requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE plans.upgrade_requests FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON plans.upgrade_requests FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());

GRANT SELECT, INSERT, UPDATE, DELETE
    ON plans.assignments, plans.overrides, plans.upgrade_requests TO ragwork_app;
