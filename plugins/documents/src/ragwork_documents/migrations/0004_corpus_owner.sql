-- kind: expand
-- Who may configure a corpus beside administrators; a corpus of before has no owner, so only they may.
-- readers_set_by: who chose default_readers, which is who the grants they make are given by.
ALTER TABLE documents.corpora
    ADD COLUMN owner text,
    ADD COLUMN readers_set_by text;
