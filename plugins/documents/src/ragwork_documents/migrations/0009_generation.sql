-- kind: expand
-- Who answers from the corpus, and how: the section of that name in provider_config. NULL leaves it to the operator.
ALTER TABLE documents.corpora ADD COLUMN generation jsonb;
