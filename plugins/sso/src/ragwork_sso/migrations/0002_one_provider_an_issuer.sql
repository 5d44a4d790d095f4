-- kind: expand
-- An issuer belongs to one provider of a tenant, and an account to the provider that vouched for it. Of several
-- providers of one issuer the oldest that is switched on stays, else the oldest; the others go, with their sessions.
-- FORCE binds the owner, too, who has no tenant here.
ALTER TABLE sso.providers NO FORCE ROW LEVEL SECURITY;
ALTER TABLE sso.accounts NO FORCE ROW LEVEL SECURITY;
ALTER TABLE sso.sessions NO FORCE ROW LEVEL SECURITY;

CREATE TEMPORARY TABLE doubled ON COMMIT DROP AS
SELECT p.tenant_id, p.id FROM sso.providers p
 WHERE p.id <> (
    SELECT f.id FROM sso.providers f
     WHERE f.tenant_id = p.tenant_id AND lower(rtrim(f.issuer, '/')) = lower(rtrim(p.issuer, '/'))
     ORDER BY f.enabled DESC, f.created_at, f.id LIMIT 1);
UPDATE sso.sessions s SET revoked_at = now() FROM doubled d
 WHERE s.tenant_id = d.tenant_id AND s.provider_id = d.id AND s.revoked_at IS NULL;
DELETE FROM sso.providers p USING doubled d WHERE p.tenant_id = d.tenant_id AND p.id = d.id;
CREATE UNIQUE INDEX providers_by_issuer ON sso.providers (tenant_id, lower(rtrim(issuer, '/')));

-- A server of the release before leaves it open; an account whose provider is gone is nobody's ('').
ALTER TABLE sso.accounts ADD COLUMN provider_id text;
UPDATE sso.accounts a SET provider_id = COALESCE(
    (SELECT p.id FROM sso.providers p WHERE p.tenant_id = a.tenant_id AND p.issuer = a.issuer), '');
CREATE INDEX accounts_by_provider ON sso.accounts (tenant_id, provider_id, subject);

-- The one provider of a tenant whose people are those that SCIM provisions.
ALTER TABLE sso.providers ADD COLUMN links_scim_users boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX providers_of_scim_users ON sso.providers (tenant_id) WHERE links_scim_users;

ALTER TABLE sso.providers FORCE ROW LEVEL SECURITY;
ALTER TABLE sso.accounts FORCE ROW LEVEL SECURITY;
ALTER TABLE sso.sessions FORCE ROW LEVEL SECURITY;
