-- kind: expand
-- Documents are read by their language's analyser. What was indexed before has English stems of words, which is what the English
-- analyser finds of them, too; the maintenance task "reanalyse" reads those documents anew.

ALTER TABLE pgvector.documents
    ADD COLUMN language text NOT NULL DEFAULT 'en',     -- as detected, "" if nobody could tell
    ADD COLUMN analyser text NOT NULL DEFAULT 'en',     -- whose terms the postings hold
    ADD COLUMN analysis integer NOT NULL DEFAULT 0;     -- version of that analyser, 0 before there was one
CREATE INDEX documents_analysis ON pgvector.documents (tenant_id, analysis);
