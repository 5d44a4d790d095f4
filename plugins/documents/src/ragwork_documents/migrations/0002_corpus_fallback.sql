-- kind: expand
-- Retrieval providers to ask when the corpus' own can't answer, in order.
ALTER TABLE documents.corpora ADD COLUMN fallback text[] NOT NULL DEFAULT '{}';
