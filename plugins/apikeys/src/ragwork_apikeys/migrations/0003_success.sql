-- kind: expand
-- When the audit log was last told that the key is in use: once an hour, whichever process sees it.
ALTER TABLE apikeys.keys ADD COLUMN success_recorded_at timestamptz;
