-- kind: expand
-- A second retrieval provider that is asked in the background for comparison, and its options.
ALTER TABLE documents.corpora
    ADD COLUMN shadow text,
    ADD COLUMN shadow_options jsonb NOT NULL DEFAULT '{}';
