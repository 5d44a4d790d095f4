-- kind: expand
-- A key that a tenant's admin makes needs no name.
ALTER TABLE apikeys.keys ALTER COLUMN name DROP NOT NULL;
