-- kind: expand
-- Whose answer was spoken, and for whom: its sound is judged by the rights that they have when it is fetched.
-- Sound of before the upgrade has neither and is no longer given out; it would have lived an hour.
ALTER TABLE agent.audio
    ADD COLUMN turn integer,
    ADD COLUMN listeners jsonb;
