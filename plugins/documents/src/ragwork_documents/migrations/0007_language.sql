-- kind: expand
ALTER TABLE documents.documents
    ADD COLUMN language text;   -- as detected in the version that is indexed, "" if nobody could tell; NULL before that was done
