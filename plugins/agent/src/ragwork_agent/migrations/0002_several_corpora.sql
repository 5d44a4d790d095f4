-- kind: expand
-- All corpora that the latest run asked. An older release writes corpus_id only, so it counts where they differ.
ALTER TABLE agent.sessions ADD COLUMN corpus_ids text[];
