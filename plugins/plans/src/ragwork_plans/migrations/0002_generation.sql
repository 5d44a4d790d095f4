-- kind: expand
INSERT INTO plans.features (key, position) VALUES ('generation.override', 16);
INSERT INTO plans.inclusions (plan_id, feature_key)
SELECT id, 'generation.override' FROM plans.plans WHERE id IN ('pro', 'enterprise');
