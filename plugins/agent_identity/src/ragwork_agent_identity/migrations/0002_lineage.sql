-- kind: expand
-- What a token was issued for: the id of the client secret or key that its agent proved itself with.
ALTER TABLE agents.tokens ADD COLUMN credential text;
ALTER TABLE agents.refresh_tokens ADD COLUMN credential text;
CREATE INDEX tokens_kid ON agents.tokens (tenant_id, kid) WHERE family IS NOT NULL;
CREATE INDEX tokens_person ON agents.tokens (tenant_id, on_behalf_of, expires_at) WHERE on_behalf_of IS NOT NULL;
CREATE INDEX tokens_ended_of ON agents.tokens (tenant_id, expires_at) WHERE ended_at IS NOT NULL;
-- The key or session that a person let an agent act with: the delegation ends with it.
ALTER TABLE agents.delegations ADD COLUMN credential_id text;
CREATE INDEX delegations_by ON agents.delegations (tenant_id, credential_id) WHERE revoked_at IS NULL;
-- When whatever an enroll token is exchanged for ends at the latest.
ALTER TABLE agents.credentials ADD COLUMN ends_by timestamptz;
