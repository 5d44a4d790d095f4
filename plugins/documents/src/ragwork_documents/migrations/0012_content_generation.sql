-- kind: expand
-- The generation that brought the present content: what cites an older one cites another text. Of documents that are there,
-- nobody knows when that was.
ALTER TABLE documents.documents ADD COLUMN content_generation integer NOT NULL DEFAULT 1;
UPDATE documents.documents SET content_generation = generation WHERE generation > 1;
