-- kind: expand
ALTER TABLE pgvector.chunks
    ADD COLUMN metadata jsonb NOT NULL DEFAULT '{}';    -- the chunk's own, beside its document's
